"""Retention: whole days leave at once; of a day with unfinished executions only the finished ones go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from windrow.records import partitions, states
from windrow.records.tables import PARTITIONED, SCHEMA

_log = structlog.get_logger(__name__)

DAYS: Final = 30
"""How long records are kept, unless set otherwise."""

_AT_ONCE: Final = 10_000
_OLD_CHORDS: Final = (
    f"DELETE FROM {SCHEMA}.chord_parts p USING {SCHEMA}.chords c "  # noqa: S608
    "WHERE (p.group_id, p.run) = (c.group_id, c.run) AND c.begun_at < :before",
    f"DELETE FROM {SCHEMA}.chords WHERE begun_at < :before",  # noqa: S608
)
_FINALS: Final = ", ".join(map(str, states.FINAL_IDS))


@dataclass(frozen=True)
class Retained:
    """What one run of retention removed."""

    dropped: tuple[date, ...]
    """Days whose partitions were dropped."""
    deleted: int
    """Finished executions deleted from days that hold unfinished ones."""


async def retain(engine: AsyncEngine, days: int = DAYS, *, now: datetime | None = None) -> Retained:
    """Remove what was accepted more than `days` days (UTC, at least 1) before `now`; exact totals stay.

    A day that somebody has open in a transaction is left for the next run. Raises what the database raises.
    """
    if days < 1:
        raise ValueError(f"retention must be at least 1 day, not {days!r}")
    before = (now or datetime.now(UTC)).astimezone(UTC).date() - timedelta(days=days)
    async with engine.connect() as connection:
        old = sorted(day for day in await partitions.existing(connection) if day < before)
    dropped: list[date] = []
    deleted = 0
    for day in old:
        try:
            async with engine.begin() as connection:
                if await _drop(connection, day):
                    dropped.append(day)
                    continue
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":  # lock_not_available
                raise
            _log.info("a day past retention is in use; it is left for the next run", day=str(day))
            continue
        deleted += await _delete_finished(engine, day)
    async with engine.begin() as connection:
        for statement in _OLD_CHORDS:
            await connection.execute(text(statement), {"before": datetime.combine(before, datetime.min.time(), UTC)})
    return Retained(tuple(dropped), deleted)


async def _drop(connection: AsyncConnection, day: date) -> bool:
    """Drop a day's partitions if all its executions are final; under locks for which it waits two seconds at most."""
    await connection.execute(text("SET LOCAL lock_timeout = '2s'"))
    have = (await partitions.existing(connection)).get(day, set())
    if "executions" in have:
        table = f"{SCHEMA}.{partitions.name('executions', day)}"
        await connection.execute(text(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        unfinished = f"SELECT EXISTS (SELECT FROM {table} WHERE status_id NOT IN ({_FINALS}))"  # noqa: S608
        if (await connection.execute(text(unfinished))).scalar():
            return False
    await connection.execute(
        text(f"DELETE FROM {SCHEMA}.execution_keys WHERE execution_id >= :low AND execution_id < :high"),  # noqa: S608
        {"low": partitions.lower_bound(day), "high": partitions.lower_bound(day + timedelta(days=1))},
    )
    for table in sorted(have):
        await connection.execute(text(f"DROP TABLE {SCHEMA}.{partitions.name(table, day)}"))
    return True


async def _delete_finished(engine: AsyncEngine, day: date) -> int:
    """Delete a day's finished executions with all that belongs to them, some thousands in each transaction."""
    total = 0
    while True:
        async with engine.begin() as connection:
            table = f"{SCHEMA}.{partitions.name('executions', day)}"
            chosen = f"SELECT id FROM {table} WHERE status_id IN ({_FINALS}) LIMIT {_AT_ONCE}"  # noqa: S608
            delete = f"DELETE FROM {table} WHERE id IN ({chosen}) RETURNING id"  # noqa: S608
            ids = list((await connection.execute(text(delete))).scalars())
            if not ids:
                return total
            for child in sorted(set(PARTITIONED) - {"executions"}):
                name = f"{SCHEMA}.{partitions.name(child, day)}"
                await connection.execute(text(f"DELETE FROM {name} WHERE execution_id = ANY(:ids)"), {"ids": ids})  # noqa: S608
            keys = f"DELETE FROM {SCHEMA}.execution_keys WHERE execution_id = ANY(:ids)"  # noqa: S608
            await connection.execute(text(keys), {"ids": ids})
        total += len(ids)
