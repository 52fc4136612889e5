"""The outbox as the dispatcher uses it, straight through asyncpg: claim, mark, look again at what never came on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from windrow.records import partitions
from windrow.records.tables import SCHEMA

CHANNEL: Final = "windrow_outbox"
"""PostgreSQL tells on this channel when a transaction with an outbox row is committed."""

IDEMPOTENCY: Final = 1
"""The kind of an idempotency key in `execution_keys`."""

_COLUMNS: Final = "execution_id, queue, task, task_id, body, enqueued_at"
_TABLE: Final = f"{SCHEMA}.outbox"

# Rows that another dispatcher holds are its own; it marks them, or its end gives them back.
_CLAIM: Final = (
    f"SELECT execution_id, octet_length(body) FROM {_TABLE} WHERE published_at IS NULL "  # noqa: S608
    "ORDER BY execution_id LIMIT $1 FOR UPDATE SKIP LOCKED"
)
_READ: Final = f"SELECT {_COLUMNS} FROM {_TABLE} WHERE execution_id = ANY($1::uuid[]) ORDER BY execution_id"  # noqa: S608
_MARK: Final = f"UPDATE {_TABLE} SET published_at = now() WHERE execution_id = ANY($1::uuid[])"  # noqa: S608
_DROP: Final = f"DELETE FROM {_TABLE} WHERE execution_id = ANY($1::uuid[])"  # noqa: S608
_AGAIN: Final = (
    f"UPDATE {_TABLE} SET published_at = NULL WHERE execution_id IN (SELECT execution_id FROM {_TABLE} "  # noqa: S608
    "WHERE published_at < now() - make_interval(secs => $1) LIMIT 10000 FOR UPDATE SKIP LOCKED)"
)
_BACKLOG: Final = (
    "SELECT count(*) AS rows, COALESCE(EXTRACT(EPOCH FROM now() - min(enqueued_at)), 0)::float8 AS age_s "  # noqa: S608
    f"FROM {_TABLE} WHERE published_at IS NULL"
)
_ADOPT: Final = (
    f"INSERT INTO {_TABLE} ({_COLUMNS}) SELECT u.* "  # noqa: S608
    f"FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[]) AS u({_COLUMNS}) "
    f"WHERE NOT EXISTS (SELECT FROM {SCHEMA}.executions e WHERE e.id = u.execution_id) ON CONFLICT DO NOTHING"
)
_FORGET_KEYS: Final = f"DELETE FROM {SCHEMA}.execution_keys WHERE execution_id < $1"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row of the outbox."""

    execution_id: UUID
    queue: str
    task: str
    task_id: str
    body: bytes
    enqueued_at: object


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in an outbox to be put on its queue."""

    rows: int
    age_s: float
    """Of the oldest, seconds."""


async def claim(connection: asyncpg.Connection, limit: int, size: int) -> list[Waiting]:
    """The oldest rows that wait, locked until the connection's transaction ends: at most `limit`, of `size` bytes or one."""
    ids: list[UUID] = []
    for identity, length in await connection.fetch(_CLAIM, limit):
        size -= length
        if ids and size < 0:
            break
        ids.append(identity)
    return [Waiting(**record) for record in await connection.fetch(_READ, ids)] if ids else []


async def mark(connection: asyncpg.Connection, ids: Sequence[UUID]) -> None:
    """Note that these were put on their queues just now."""
    await connection.execute(_MARK, ids)


async def drop(connection: asyncpg.Connection, ids: Sequence[UUID]) -> None:
    """Remove rows: what they held is elsewhere for good."""
    await connection.execute(_DROP, ids)


async def offer_again(connection: asyncpg.Connection, seconds: float) -> int:
    """Let rows wait again that were put on their queues longer than `seconds` ago; says how many."""
    return int((await connection.execute(_AGAIN, seconds)).rsplit(" ", 1)[1])


async def backlog(connection: asyncpg.Connection) -> Backlog:
    """What waits."""
    record = await connection.fetchrow(_BACKLOG)
    return Backlog(record["rows"], max(record["age_s"], 0.0))


async def adopt(connection: asyncpg.Connection, rows: Sequence[Waiting]) -> None:
    """Take over rows of another database's outbox; those that are on record already are left out."""
    columns = zip(*((r.execution_id, r.queue, r.task, r.task_id, r.body, r.enqueued_at) for r in rows), strict=True)
    await connection.execute(_ADOPT, *columns)


async def forget_keys(connection: asyncpg.Connection, today: date, days: int) -> None:
    """Remove the idempotency keys of executions accepted more than `days` days before `today`."""
    await connection.execute(_FORGET_KEYS, partitions.lower_bound(today - timedelta(days=days)))
