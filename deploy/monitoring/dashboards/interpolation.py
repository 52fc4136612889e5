"""What Grafana puts in the place of variables and macros, as far as these dashboards use them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

Value = str | Sequence[str]

ESCAPED: Final = re.compile(r"[\\^$*+?.()|\[\]{}]")
"""What Grafana's Prometheus data source takes the meaning from in a value that stands in a regular expression."""
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
_FILTER: Final = re.compile(r"\$__timeFilter\(([\w.]+)\)")


@dataclass(frozen=True)
class View:
    """What a viewer sees: the values chosen, and the time."""

    values: Mapping[str, Value]
    """A variable's value, or its values; `.*` for "All" in a variable of Prometheus."""
    start: datetime
    end: datetime
    step_ms: int = 15_000
    """The step of a chart."""
    rate_interval: str = "1m"
    """Four times the scrape interval, as a duration."""
    any_value: str = field(default=".*", repr=False)


def prometheus(text: str, view: View, several: Collection[str]) -> str:
    """A PromQL query with its variables replaced; the values of those in `several` stand in regular expressions.

    Raises ValueError for a variable without a value.
    """
    seconds = max(1, round((view.end - view.start).total_seconds()))
    builtin = {"__rate_interval": view.rate_interval, "__range": f"{seconds}s", "__interval": f"{view.step_ms // 1000}s"}

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in builtin:
            return builtin[name]
        value = _value(name, view)
        if name not in several:
            return _one(value).replace("\\", "\\\\").replace('"', '\\"')
        if value == view.any_value:
            return view.any_value
        made = [ESCAPED.sub(lambda found: "\\\\" + found[0], one) for one in _many(value)]
        return made[0] if len(made) == 1 else f"({'|'.join(made)})"

    return _VARIABLE.sub(put, text)


def sql(text: str, view: View) -> str:
    """A statement with its macros and variables replaced; each variable must say `:sqlstring`.

    Raises ValueError for a variable without a value, or one that does not.
    """
    first, last = (moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in (view.start, view.end))
    text = _FILTER.sub(lambda found: f"{found[1]} BETWEEN '{first}' AND '{last}'", text)
    text = text.replace("$__unixEpochFrom()", str(int(view.start.timestamp())))
    text = text.replace("$__unixEpochTo()", str(int(view.end.timestamp())))
    text = text.replace("$__interval_ms", str(view.step_ms))

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if match[2] != "sqlstring":
            raise ValueError(f"a variable in a statement must say :sqlstring, not {match[0]!r}; write ${{{name}:sqlstring}}")
        return ",".join("'" + one.replace("'", "''") + "'" for one in _many(_value(name, view)))

    return _VARIABLE.sub(put, text)


def _value(name: str, view: View) -> Value:
    if name not in view.values:
        raise ValueError(f"the variable {name!r} must have a value, and only {sorted(view.values)} have; give it one")
    return view.values[name]


def _many(value: Value) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _one(value: Value) -> str:
    (only,) = _many(value)
    return only
