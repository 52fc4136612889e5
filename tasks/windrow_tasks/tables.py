"""The tasks' own tables, in a schema of their own beside Windrow's."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

_STATEMENTS = (
    "create schema if not exists windrow_demo",
    "create table if not exists windrow_demo.days (series text, day date, rows int, total bigint, mean float, most int, "
    "primary key (series, day))",
    "create table if not exists windrow_demo.anomalies (series text, day date, at timestamptz, value int, score float, "
    "primary key (series, at))",
)
_LOCK = 7_305_811_902
"""Any number of our own: PostgreSQL's `if not exists` fails when two sessions create the same thing at once."""
_made = False


async def ensure(session: AsyncSession) -> None:
    """Make the tables, once for each process; commits."""
    global _made
    if _made:
        return
    await session.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    for statement in _STATEMENTS:
        await session.execute(text(statement))
    await session.commit()
    _made = True
