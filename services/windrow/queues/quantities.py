"""The quantities a spec is written in: durations (`1h10m`), memory (`512Mi`), rates (`100/m`), percentages (`99.5%`)."""

from __future__ import annotations

import re

DURATION_PATTERN = r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
"""A duration: whole hours, minutes, seconds and milliseconds, in this order, at least one of them."""
MEMORY_PATTERN = r"^[1-9][0-9]*(Ki|Mi|Gi|k|M|G)$"
"""Memory as Kubernetes writes it, always with a unit."""
RATE_PATTERN = r"^[0-9]*[1-9][0-9]*/(s|m|h)$"
"""A rate as Celery writes it, never nought: `paused` is the word for that."""
PERCENT_PATTERN = r"^[1-9][0-9]?(\.[0-9]{1,4})?%$"
"""A percentage from 1 % up to, but not, 100 %: an objective of all leaves no budget to spend."""

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII)
_MEMORY = re.compile(r"([1-9]\d*)(Ki|Mi|Gi|k|M|G)", re.ASCII)
_RATE = re.compile(r"(\d*[1-9]\d*)/([smh])", re.ASCII)
_PERCENT = re.compile(r"([1-9]\d?(?:\.\d{1,4})?)%", re.ASCII)
_MEMORY_UNITS = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}
_RATE_UNITS = {"s": 1, "m": 60, "h": 3600}

DURATION_MUST = "must be a duration such as 90s, 10m, 1h10m or 500ms"
MEMORY_MUST = "must be an amount of memory such as 512Mi or 2Gi"
RATE_MUST = "must be a rate such as 10/s, 100/m or 3600/h"
PERCENT_MUST = "must be a percentage from 1% to 99.9999%, such as 99.5%"


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `1h10m`; raises ValueError with what must hold."""
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError(DURATION_MUST)
    hours, minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as these seconds, to the millisecond."""
    milliseconds = round(seconds * 1000)
    parts = []
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_memory(text: str) -> int:
    """Bytes of an amount such as `512Mi`; raises ValueError with what must hold."""
    match = _MEMORY.fullmatch(text)
    if match is None:
        raise ValueError(MEMORY_MUST)
    return int(match[1]) * _MEMORY_UNITS[match[2]]


def format_memory(amount: int) -> str:
    """The text of so many bytes, in the largest binary unit that divides them."""
    for unit in ("Gi", "Mi", "Ki"):
        if amount % _MEMORY_UNITS[unit] == 0:
            return f"{amount // _MEMORY_UNITS[unit]}{unit}"
    return f"{-(-amount // 1024)}Ki"


def parse_rate(text: str) -> float:
    """Tasks a second of a rate such as `100/m`; raises ValueError with what must hold."""
    match = _RATE.fullmatch(text)
    if match is None:
        raise ValueError(RATE_MUST)
    return int(match[1]) / _RATE_UNITS[match[2]]


def parse_percent(text: str) -> float:
    """The ratio that a percentage such as `99.5%` is; raises ValueError with what must hold."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(PERCENT_MUST)
    return round(float(match[1]) / 100, 6)


def format_percent(ratio: float) -> str:
    """The text that `parse_percent` reads back as this ratio."""
    return f"{round(ratio * 100, 4):.4f}".rstrip("0").rstrip(".") + "%"


def checked_rate(text: str) -> str:
    """The text itself, when `parse_rate` can read it; raises ValueError with what must hold."""
    parse_rate(text)
    return text
