"""The field types of a spec: each checks with one sentence and carries the pattern that a schema needs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BeforeValidator, GetCoreSchemaHandler, PlainSerializer, WithJsonSchema
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


def _parsed_by(parse: Callable[[str], float]) -> BeforeValidator:
    def check(value: Any) -> Any:
        try:
            return parse(value if isinstance(value, str) else "")
        except ValueError as error:
            refuse(str(error))

    return BeforeValidator(check)


def _checked_by(parse: Callable[[str], float]) -> BeforeValidator:
    def check(value: Any) -> Any:
        try:
            parse(value if isinstance(value, str) else "")
        except ValueError as error:
            refuse(str(error))
        return value

    return BeforeValidator(check)


def _between(least: float, most: float) -> AfterValidator:
    def check(seconds: float) -> float:
        if seconds < least:
            refuse(f"must be at least {q.format_duration(least)}", given=q.format_duration(seconds))
        if seconds > most:
            refuse(f"must be at most {q.format_duration(most)}", given=q.format_duration(seconds))
        return seconds

    return AfterValidator(check)


_WEEK = 7 * 24 * 3600.0
_DURATION_SCHEMA = WithJsonSchema({"type": "string", "pattern": q.DURATION_PATTERN, "minLength": 2, "maxLength": 32})
_AS_DURATION = PlainSerializer(q.format_duration, return_type=str, when_used="json")

Duration = Annotated[float, _between(0.001, _WEEK), _parsed_by(q.parse_duration), _AS_DURATION, _DURATION_SCHEMA]
"""Seconds, written `90s`, `10m`, `1h10m`, `500ms`; from 1 ms to a week."""

Window = Annotated[float, _between(0.0, _WEEK), _parsed_by(q.parse_duration), _AS_DURATION, _DURATION_SCHEMA]
"""Seconds, written as a `Duration`; `0s` too."""

Memory = Annotated[
    int,
    _parsed_by(q.parse_memory),
    PlainSerializer(q.format_memory, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": q.MEMORY_PATTERN, "maxLength": 20}),
]
"""Bytes, written `512Mi`."""

Rate = Annotated[
    str,
    Pattern(q.RATE_PATTERN, q.RATE_MUST, 20),
    _checked_by(q.parse_rate),
]
"""A rate as it was written, `100/m`; `quantities.parse_rate` gives tasks a second."""
