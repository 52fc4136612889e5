"""Daily partitions by UUIDv7: their names, their bounds, and making them ahead.

A partition is made as a table of its own and then attached: attaching takes no lock that waits for, or holds up, an
open transaction that writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from windrow.records.tables import PARTITIONED, SCHEMA

AHEAD_DAYS: Final = 3
"""How many days ahead partitions are made."""

LOCK: Final = 0x77696E64726F77
"""The advisory lock ("windrow") under which tables are made, changed and dropped."""

_FILL: Final = {"executions": 50, "attempts": 70}


def day_of(execution_id: UUID) -> date:
    """The day (UTC) on which an execution was accepted, from its id; raises ValueError past the year 9999."""
    try:
        return datetime.fromtimestamp((execution_id.int >> 80) / 1000, UTC).date()
    except (OverflowError, OSError) as error:
        raise ValueError(f"an execution id must carry a time before the year 10000, not {execution_id}") from error


def lower_bound(day: date) -> UUID:
    """The smallest UUIDv7-shaped id of a day."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def name(table: str, day: date) -> str:
    """The partition of `table` for `day`, without its schema."""
    return f"{table}_{day:%Y%m%d}"


def days_ahead(now: datetime) -> list[date]:
    """The days that must have partitions at `now`: yesterday, for what was accepted just before midnight, to three ahead."""
    today = now.astimezone(UTC).date()
    return [today + timedelta(days=offset) for offset in range(-1, AHEAD_DAYS + 1)]


async def existing(connection: AsyncConnection) -> dict[date, set[str]]:
    """Which tables have a partition, by day."""
    rows = await connection.execute(
        text(
            "SELECT c.relname, p.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace n ON n.oid = p.relnamespace WHERE n.nspname = :s "
            "AND c.relkind = 'r'"
        ),
        {"s": SCHEMA},
    )
    found: dict[date, set[str]] = {}
    for child, parent in rows:
        suffix = child.removeprefix(f"{parent}_")
        if parent in PARTITIONED and suffix.isdigit():
            day = date(int(suffix[:4]), int(suffix[4:6]), int(suffix[6:8]))
            found.setdefault(day, set()).add(parent)
    return found


def ahead(existing: Mapping[date, set[str]], now: datetime) -> int:
    """For how many days in a row after today every table has a partition; -1 when not even for today."""
    today = now.astimezone(UTC).date()
    days = -1
    while existing.get(today + timedelta(days=days + 1)) == set(PARTITIONED):
        days += 1
    return days


async def ensure_days(connection: AsyncConnection, days: Iterable[date]) -> list[date]:
    """Make the partitions of `days` that are missing, in the connection's transaction; returns the days that were."""
    wanted = sorted(set(days))
    complete = set(PARTITIONED)
    have = await existing(connection)
    if all(have.get(day) == complete for day in wanted):
        return []
    await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    have = await existing(connection)
    made = []
    for day in wanted:
        missing = complete - have.get(day, set())
        for table in sorted(missing):
            await _make(connection, table, day)
        if missing:
            made.append(day)
    return made


async def ensure(connection: AsyncConnection, now: datetime) -> list[date]:
    """Make the partitions that `now` needs; returns the days that had missed some."""
    return await ensure_days(connection, days_ahead(now))


async def _make(connection: AsyncConnection, table: str, day: date) -> None:
    child = f"{SCHEMA}.{name(table, day)}"
    # Room in each page, so that a row's next version fits beside it and no index is touched.
    storage = f" WITH (fillfactor = {_FILL[table]})" if table in _FILL else ""
    await connection.execute(text(f"CREATE TABLE IF NOT EXISTS {child} (LIKE {SCHEMA}.{table} INCLUDING ALL){storage}"))
    lower, upper = lower_bound(day), lower_bound(day + timedelta(days=1))
    await connection.execute(
        text(f"ALTER TABLE {SCHEMA}.{table} ATTACH PARTITION {child} FOR VALUES FROM ('{lower}') TO ('{upper}')")
    )
