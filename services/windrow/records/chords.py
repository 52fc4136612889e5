"""Chords that have begun and not ended, on record: their size, body and counted parts, to be put back if Redis loses them.

A chord that begins and ends within one batch leaves no trace; one that has ended leaves no rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg

from windrow.broker.events import Event
from windrow.records import clean
from windrow.records.tables import SCHEMA

Key = tuple[str, str]
"""A chord's group and run."""

MOST_PART: Final = 1_048_576
"""Characters of a part that are kept."""

_SAVE: Final = (
    f"INSERT INTO {SCHEMA}.chords AS c (group_id, run, size, expires_s, header, body, begun_at) "  # noqa: S608
    "SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::int[], $5::text[], $6::text[], $7::timestamptz[]) "
    "ON CONFLICT (group_id, run) DO UPDATE SET size = COALESCE(EXCLUDED.size, c.size), "
    "header = COALESCE(EXCLUDED.header, c.header), body = COALESCE(c.body, EXCLUDED.body)"
)
_SAVE_PARTS: Final = (
    f"INSERT INTO {SCHEMA}.chord_parts (group_id, run, who, place, ordered, part) "  # noqa: S608
    "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::text[]) ON CONFLICT DO NOTHING"
)
_DELETE: Final = f"DELETE FROM {SCHEMA}.%s WHERE (group_id, run) IN (SELECT * FROM unnest($1::text[], $2::text[]))"  # noqa: S608


@dataclass(slots=True)
class Chord:
    """What a batch tells of one chord."""

    size: int | None = None
    expires_s: int = 0
    header: str | None = None
    body: str | None = None
    """The body's signature, as JSON text."""
    begun_at: datetime | None = None
    begun: bool = False
    ended: bool = False
    parts: dict[str, tuple[str, bool, str | None]] = field(default_factory=dict)
    """By who: place, whether the header's order is kept, and the part, None when it is too long."""


def fold_chords(events: Iterable[Event]) -> dict[Key, Chord]:
    """What `chord` events, in order, tell of each chord; one that began and ended among them is left out."""
    found: dict[Key, Chord] = {}
    for event in events:
        key = (clean.text(event.get("group")) or "", clean.text(event.get("run")) or "")
        what = event.get("what")
        chord = found.setdefault(key, Chord())
        if what == "begun":
            if chord.ended:
                chord = found[key] = Chord()
            chord.begun = not chord.parts
            chord.header = clean.text(event.get("header"), MOST_PART)
        elif what == "part":
            place = clean.text(event.get("place")) or "+inf"
            part = event.get("part")
            whole = isinstance(part, str) and len(part) <= MOST_PART and "\x00" not in part
            if isinstance(event.get("body"), dict):
                chord.body = clean.text(json.dumps(event["body"]), MOST_PART)
            chord.parts.setdefault(
                clean.text(event.get("who")) or "", (place, bool(event.get("ordered")), part if whole else None)
            )
        elif what == "ended":
            chord.ended = True
            continue
        chord.size = clean.count(event["size"]) if event.get("size") is not None else chord.size
        chord.expires_s = clean.count(event.get("expires"))
        chord.begun_at = chord.begun_at or clean.moment(event.get("t"))
    return {key: chord for key, chord in found.items() if not (chord.begun and chord.ended)}


async def save_chords(connection: asyncpg.Connection, chords: dict[Key, Chord]) -> None:
    """Write what `fold_chords` found, in the connection's transaction."""
    ended = [key for key, chord in chords.items() if chord.ended]
    if ended:
        groups, runs = _columns(ended)
        for table in ("chord_parts", "chords"):
            await connection.execute(_DELETE % table, groups, runs)
    going = sorted((key, chord) for key, chord in chords.items() if not chord.ended)
    if not going:
        return
    rows = [(*key, one.size, one.expires_s, one.header, one.body, one.begun_at) for key, one in going]
    await connection.execute(_SAVE, *_columns(rows))
    parts = [(*key, who, *rest) for key, one in going for who, rest in one.parts.items()]
    if parts:
        await connection.execute(_SAVE_PARTS, *_columns(parts))


def _columns(rows: list[Any]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
