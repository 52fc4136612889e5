"""Making an event fit for PostgreSQL before it is folded: one bad value must not hold up a batch.

PostgreSQL's text takes no NUL and no lone surrogate, its integers and times have limits; what does not fit is replaced,
cut or left out, never refused, but for an event whose execution id is unusable.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from asyncpg.pgproto.pgproto import UUID as _QuickUUID  # a uuid.UUID that reads text five times as fast

from windrow.broker.events import KINDS

NAME: Final = 200
"""Characters kept of a queue's, task's, worker's or exception class's name, and of an id given by others."""

VIEW: Final = 1_024
MESSAGE: Final = 4_096
TRACEBACK: Final = 16_384
LOG: Final = 65_536
"""Characters kept of what an attempt logged: its end."""

_AHEAD_S: Final = 2 * 86_400.0
"""How far ahead of the recorder's clock an id may lie; beyond it no partition is made."""

_INT_MAX: Final = 2**31 - 1
_BIGINT_MAX: Final = 2**63 - 1
_YEAR_9999: Final = 253_370_764_800.0


def text(value: Any, limit: int = NAME) -> str | None:
    """`value` as text that PostgreSQL takes, at most `limit` characters; None stays None."""
    if value is None:
        return None
    made = value if isinstance(value, str) else str(value)
    if len(made) > limit:
        made = made[:limit]
    if "\x00" in made:
        made = made.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if not made.isascii():
        made = made.encode("utf-8", "replace").decode()
    return made


def moment(value: Any) -> datetime | None:
    """Seconds since 1970 as a time; None when it is none, or out of any calendar."""
    seconds = number(value)
    if seconds is None or not 0 <= seconds < _YEAR_9999:
        return None
    return datetime.fromtimestamp(seconds, UTC)


def number(value: Any) -> float | None:
    """`value` as a finite float, or None."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else None
    if kind is not int:
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def count(value: Any) -> int:
    """`value` as an integer that fits a column, 0 when it is none."""
    if type(value) is int:
        return min(max(value, 0), _INT_MAX)
    made = number(value)
    return 0 if made is None else int(min(max(made, 0), _INT_MAX))


def size(value: Any) -> int | None:
    """`value` as a number of bytes, or None when it is none."""
    return min(value, _BIGINT_MAX) if type(value) is int and value > 0 else None


def uuid(value: Any) -> UUID | None:
    """`value` as a UUID, or None."""
    if not isinstance(value, str):
        return None
    try:
        return _QuickUUID(value)  # type: ignore[no-any-return]  # asyncpg publishes no types
    except ValueError:
        return None


def short(identity: UUID) -> int:
    """The random half of an execution's id: enough to tell a million apart, and small in memory."""
    return identity.int & 0xFFFFFFFFFFFFFFFF


def execution_id(event: Any, now: float) -> UUID | None:
    """The execution that the event is about; None when the event can't be recorded at all.

    It must be an object of a known kind, with a UUIDv7 that lies at most two days after `now` (seconds since 1970).
    """
    if not isinstance(event, dict) or event.get("k") not in KINDS:
        return None
    made = uuid(event.get("id"))
    if made is None or (made.int >> 76) & 0xF != 7 or (made.int >> 80) / 1000 > now + _AHEAD_S:
        return None
    return made
