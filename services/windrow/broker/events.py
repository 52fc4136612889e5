"""The event stream: what is in an entry, and execution ids. docs/keys-and-events.md names every field."""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

VERSION = 1

ACCEPTED = "accepted"
STARTED = "started"
PROGRESS = "progress"
ENDED = "ended"
MOVED = "moved"
RECOVERED = "recovered"
REFUSED = "refused"
CHORD = "chord"
KINDS = (ACCEPTED, STARTED, PROGRESS, ENDED, MOVED, RECOVERED, REFUSED, CHORD)

Event = dict[str, Any]

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode  # `json.dumps` makes an encoder each time

_random: deque[bytes] = deque()
"""Random bytes for the next ids: one system call for many. A forked child starts with none, its ids are its own."""
os.register_at_fork(after_in_child=_random.clear)


def _ten_random_bytes() -> bytes:
    while True:
        try:
            return _random.pop()
        except IndexError:  # another thread may have taken the last
            fresh = os.urandom(1280)
            _random.extend(fresh[start : start + 10] for start in range(0, len(fresh), 10))


def new_id(now: float | None = None) -> str:
    """A new UUIDv7 as text: 48 bits of milliseconds since 1970, then random bits (RFC 9562)."""
    ms = int((time.time() if now is None else now) * 1000)
    value = (ms & 0xFFFFFFFFFFFF) << 80 | int.from_bytes(_ten_random_bytes(), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_id(value: object, now: float) -> bool:
    """Whether a stranger's value can be an execution id: a UUIDv7, not made later than a day from `now`."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None and id_time(value) < now + 86400


def id_time(text: str) -> float:
    """When an execution id was made, in seconds since 1970."""
    return int(text.replace("-", "")[:12], 16) / 1000


def refused(ended: Event) -> Event:
    """The event of an attempt's end that came when its message had been given to another worker."""
    return {"k": REFUSED, "id": ended["id"], "t": ended.get("t"), "what": "finish", "of": ended}


def encode(event: Event) -> str:
    """One event as JSON text."""
    return _encode(event)


def fields(*events: Event, message: str | bytes | None = None) -> dict[str, str | bytes]:
    """The fields of a stream entry with these events; `message` belongs to the first."""
    made: dict[str, str | bytes] = {"v": str(VERSION), "e": "[" + ",".join(map(encode, events)) + "]"}
    if message is not None:
        made["m"] = message
    return made


def decode(entry: Mapping[bytes, bytes] | Mapping[str, str]) -> list[Event]:
    """The events of a stream entry.

    Raises ValueError when the entry is of a version this code can't read, or no entry at all.
    """
    raw = {_text(key): value for key, value in entry.items()}
    version = int(_text(raw.get("v", "0")))
    if version not in (VERSION, VERSION - 1) or "e" not in raw:
        raise ValueError(f"an entry of the event stream must have version {VERSION} or {VERSION - 1}, not {version}")
    events: list[Event] = json.loads(raw["e"])
    if events and "m" in raw:
        events[0]["message"] = _text(raw["m"])
    return events


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
