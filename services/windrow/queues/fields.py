"""The field types of a spec: each checks with one sentence and carries the pattern that a schema needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import BeforeValidator, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from windrow.queues import quantities as q

UNSET = object()


def refuse(must: str, *, key: str | None = None, given: Any = UNSET) -> NoReturn:
    """Raise the one kind of error our own checks raise.

    `must` is the sentence after the key's name, without its `not …`; `key` names the key below the checked one (its YAML name),
    and `given` its value, when the error is not about the checked value itself.
    """
    context: dict[str, Any] = {"must": must}
    if key is not None:
        context["key"] = key
    if given is not UNSET:
        context["given"] = given
    raise PydanticCustomError("windrow", "{must}", context)


@dataclass(frozen=True)
class Pattern:
    """A text that matches a pattern whole; anything else is refused with `must`."""

    pattern: str
    must: str
    longest: int

    def check(self, value: str) -> str:
        """The value itself, when it may stand."""
        if len(value) > self.longest:
            refuse(f"must have at most {self.longest} characters")
        if re.search(self.pattern, value, re.ASCII) is None or value.endswith("\n"):
            refuse(self.must)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Callable[[CoreSchema], dict[str, Any]]) -> Any:
        return {**handler(schema), "pattern": self.pattern, "maxLength": self.longest}


@dataclass(frozen=True)
class Between:
    """Seconds from `least` to `most`."""

    least: float
    most: float

    def check(self, seconds: float) -> float:
        """The value itself, when it may stand."""
        if seconds < self.least:
            refuse(f"must be at least {q.format_duration(self.least)}", given=q.format_duration(seconds))
        if seconds > self.most:
            refuse(f"must be at most {q.format_duration(self.most)}", given=q.format_duration(seconds))
        return seconds

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


@dataclass(frozen=True)
class Written:
    """What a value looks like as text: its pattern, its longest, and what must hold."""

    pattern: str
    must: str
    longest: int

    def parsed_by(self, parse: Callable[[str], object]) -> BeforeValidator:
        """A validator that makes the text what `parse` reads in it; anything that is not such a text is refused."""

        def check(value: Any) -> Any:
            if not isinstance(value, str) or len(value) > self.longest:
                refuse(self.must)
            try:
                return parse(value)
            except ValueError as error:
                refuse(str(error))

        return BeforeValidator(check)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: Callable[[CoreSchema], dict[str, Any]]) -> Any:
        return {"type": "string", "pattern": self.pattern, "maxLength": self.longest}


_WEEK = 7 * 24 * 3600.0
_DURATION = Written(q.DURATION_PATTERN, q.DURATION_MUST, 32)
_MEMORY = Written(q.MEMORY_PATTERN, q.MEMORY_MUST, 20)
_RATE = Written(q.RATE_PATTERN, q.RATE_MUST, 20)
_PERCENT = Written(q.PERCENT_PATTERN, q.PERCENT_MUST, 20)
_AS_DURATION = PlainSerializer(q.format_duration, return_type=str, when_used="json")
_AS_MEMORY = PlainSerializer(q.format_memory, return_type=str, when_used="json")
_AS_PERCENT = PlainSerializer(q.format_percent, return_type=str, when_used="json")

Duration = Annotated[float, Between(0.001, _WEEK), _DURATION.parsed_by(q.parse_duration), _AS_DURATION, _DURATION]
"""Seconds, written `90s`, `10m`, `1h10m`, `500ms`; from 1 ms to a week."""

Window = Annotated[float, Between(0.0, _WEEK), _DURATION.parsed_by(q.parse_duration), _AS_DURATION, _DURATION]
"""Seconds, written as a `Duration`; `0s` too."""

Memory = Annotated[int, _MEMORY.parsed_by(q.parse_memory), _AS_MEMORY, _MEMORY]
"""Bytes, written `512Mi`."""

Percent = Annotated[float, _PERCENT.parsed_by(q.parse_percent), _AS_PERCENT, _PERCENT]
"""A ratio, written `99.5%`."""

Rate = Annotated[str, _RATE.parsed_by(q.checked_rate), _RATE]
"""A rate as it was written, `100/m`; `quantities.parse_rate` gives tasks a second."""
