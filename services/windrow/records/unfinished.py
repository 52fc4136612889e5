"""Executions without a final state, in pages; their kept messages; which Redis the records were last compared with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import asyncpg

from windrow.records import partitions, states
from windrow.records.tables import SCHEMA

PAGE: Final = 2_000
"""Executions of one page."""

_FINALS: Final = ", ".join(map(str, states.FINAL_IDS))
_COLUMNS: Final = "id, queue, task, task_id, tag, status_id, priority, due_at, started_at, worker"
_OPEN: Final = f"status_id NOT IN ({_FINALS})"
# Through the primary keys, a page at a time, whatever the statistics say: they may be of yesterday.
_PLAN: Final = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
_ALL: Final = f"SELECT {_COLUMNS} FROM {SCHEMA}.%s WHERE id > $1 AND {_OPEN} ORDER BY id LIMIT $2"  # noqa: S608
_KEPT: Final = f"SELECT execution_id FROM {SCHEMA}.%s WHERE execution_id > $1 ORDER BY execution_id LIMIT $2"  # noqa: S608
_THESE: Final = f"SELECT {_COLUMNS} FROM {SCHEMA}.%s WHERE id = ANY($1::uuid[]) AND {_OPEN} ORDER BY id"  # noqa: S608
_OPEN_ATTEMPTS: Final = (
    f"SELECT DISTINCT ON (execution_id) execution_id, id, early FROM {SCHEMA}.attempts "  # noqa: S608
    "WHERE execution_id = ANY($1::uuid[]) AND outcome IS NULL ORDER BY execution_id, id DESC"
)
_SIZES: Final = f"SELECT execution_id, octet_length(body) FROM {SCHEMA}.messages WHERE execution_id = ANY($1::uuid[])"  # noqa: S608
_BODIES: Final = f"SELECT execution_id, queue, body FROM {SCHEMA}.messages WHERE execution_id = ANY($1::uuid[])"  # noqa: S608
_QUEUES: Final = f"SELECT DISTINCT queue FROM {SCHEMA}.totals"  # noqa: S608
_REMEMBER: Final = (
    f"INSERT INTO {SCHEMA}.brokers (stream, run, marker) VALUES ($1, $2, $3) "  # noqa: S608
    "ON CONFLICT (stream) DO UPDATE SET run = EXCLUDED.run, marker = EXCLUDED.marker"
)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An execution that has no final state."""

    id: UUID
    queue: str
    task: str
    task_id: str | None
    tag: str | None
    state: str
    priority: int
    due_at: datetime | None
    started_at: datetime | None
    worker: str | None


async def days(connection: asyncpg.Connection) -> list[date]:
    """The days that have records, the first first."""
    found = await connection.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = $1::text::regclass AND c.relkind = 'r'",
        f"{SCHEMA}.executions",
    )
    suffixes = sorted(record["relname"].removeprefix("executions_") for record in found)
    return [date(int(one[:4]), int(one[4:6]), int(one[6:8])) for one in suffixes if one.isdigit()]


async def pages(connection: asyncpg.Connection, *, everything: bool) -> AsyncIterator[list[Unfinished]]:
    """All unfinished executions, the oldest first, some thousands at a time; or only those with a kept message.

    The former reads every execution there is; the latter little else than what it finds.
    """
    for day in await days(connection):
        executions, messages = partitions.name("executions", day), partitions.name("messages", day)
        after, count = UUID(int=0), PAGE
        while count == PAGE:
            async with connection.transaction(readonly=True):
                await connection.execute(_PLAN)
                if everything:
                    found = await connection.fetch(_ALL % executions, after, PAGE)
                    count, after = len(found), found[-1]["id"] if found else after
                else:
                    ids = [record["execution_id"] for record in await connection.fetch(_KEPT % messages, after, PAGE)]
                    found = await connection.fetch(_THESE % executions, ids) if ids else []
                    count, after = len(ids), ids[-1] if ids else after
            if found:
                yield [_unfinished(record) for record in found]


def _unfinished(record: Any) -> Unfinished:
    fields = dict(record)
    state = states.CODES[fields.pop("status_id")]
    return Unfinished(**{**fields, "state": state, "priority": fields["priority"] or 0})


async def open_attempts(connection: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, bool]]:
    """Of these executions, the attempt that started last and has not ended, and whether it was acknowledged early."""
    found = await connection.fetch(_OPEN_ATTEMPTS, ids)
    return {record["execution_id"]: (record["id"], bool(record["early"])) for record in found}


async def kept(connection: asyncpg.Connection, ids: Sequence[UUID], most: int) -> AsyncIterator[dict[UUID, tuple[str, bytes]]]:
    """Queue and message of those of `ids` that have one kept, in groups of at most `most` bytes, or one message."""
    sizes = [(record[0], record[1]) for record in await connection.fetch(_SIZES, ids)]
    for group in _groups(sizes, most):
        yield {record["execution_id"]: (record["queue"], record["body"]) for record in await connection.fetch(_BODIES, group)}


def _groups(sizes: Sequence[tuple[UUID, int]], most: int) -> Iterator[list[UUID]]:
    group: list[UUID] = []
    held = 0
    for identity, size in sorted(sizes):
        if group and held + size > most:
            yield group
            group, held = [], 0
        group.append(identity)
        held += size
    if group:
        yield group


async def queues(connection: asyncpg.Connection) -> set[str]:
    """Every queue that a record names."""
    return {record["queue"] for record in await connection.fetch(_QUEUES)}


async def known_broker(connection: asyncpg.Connection, stream: str) -> tuple[str | None, str] | None:
    """Run and marker of the Redis that the records were last compared with; None before the first time."""
    record = await connection.fetchrow(f"SELECT run, marker FROM {SCHEMA}.brokers WHERE stream = $1", stream)  # noqa: S608
    return None if record is None else (record["run"], record["marker"])


async def remember_broker(connection: asyncpg.Connection, stream: str, run: str | None, marker: str) -> None:
    """Note which Redis the records were compared with."""
    await connection.execute(_REMEMBER, stream, run, marker)
