"""`SchedulerRepository`: what a task reports about its own execution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Insert, Table, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from windrow.authoring.attempt import current_attempt
from windrow.records.tables import NO_ATTEMPT, Execution, ExecutionReport, ExecutionStatus

FIELDS = ("completed_at", "duration_ms", "status_id", "result_summary", "error_message")
"""What an execution's report consists of."""


@dataclass(frozen=True)
class Status:
    """A row of `windrow.execution_statuses`."""

    id: int
    code: str


_statuses: dict[str, Status] = {}


class SchedulerRepository:
    """Reads the statuses and writes an execution's report, in the caller's own transaction."""

    async def get_execution_status_by_code(self, session: AsyncSession, code: str) -> Status | None:
        """The status with this code (`success`, `failed`, …), or None. They never change: a process reads them once."""
        if code not in _statuses:
            rows = await session.execute(select(ExecutionStatus.id, ExecutionStatus.code))
            _statuses.update({row.code: Status(row.id, row.code) for row in rows})
        return _statuses.get(code)

    async def update_execution(self, session: AsyncSession, execution_id: object, fields: Mapping[str, Any]) -> None:
        """Report `fields` (some of the five) about an execution; the caller commits.

        Inside a task that is the task's own execution and attempt, whatever the id. Elsewhere it is the execution with this id,
        or the newest whose caller gave it as `execution_id`. The execution's state is not touched: that is what Celery makes of
        its last attempt. Raises ValueError for a field that a report does not have, LookupError when nothing has the id.
        """
        unknown = sorted(set(fields) - set(FIELDS))
        if unknown:
            raise ValueError(f"a report must consist of {', '.join(FIELDS)}; {', '.join(map(repr, unknown))} must be left out")
        if not fields:
            return
        attempt = current_attempt()
        if attempt is not None:
            execution = UUID(attempt.execution_id)
            run = UUID(attempt.attempt_id) if attempt.attempt_id else NO_ATTEMPT
        else:
            execution, run = await _find(session, execution_id), NO_ATTEMPT
        values = {"execution_id": execution, "attempt_id": run, **fields}
        await session.execute(_upsert(tuple(name for name in FIELDS if name in fields)), values)


@lru_cache(maxsize=64)
def _upsert(names: tuple[str, ...]) -> Insert:
    table = cast(Table, ExecutionReport.__table__)
    columns = ("execution_id", "attempt_id", *names)
    statement = insert(table).values({name: bindparam(name, type_=table.c[name].type) for name in columns})
    changes = {name: statement.excluded[name] for name in names}
    return statement.on_conflict_do_update(
        index_elements=["execution_id", "attempt_id"], set_={**changes, "reported_at": func.now()}
    )


async def _find(session: AsyncSession, given: object) -> UUID:
    text = str(given)
    try:
        by_id = UUID(text)
    except ValueError:
        by_id = None
    if by_id is not None:
        found = await session.scalar(select(Execution.id).where(Execution.id == by_id))
        if found is not None:
            return found
    newest = select(Execution.id).where(Execution.external_id == text).order_by(Execution.id.desc()).limit(1)
    found = await session.scalar(newest)
    if found is None:
        raise LookupError(
            f"an execution must have {text!r} as its id or as the execution_id it was called with; none on record does"
        )
    return found
