"""Records, as a test reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from windrow.authoring.database import DatabaseSessionLocal
from windrow.authoring.loop import run_async
from windrow.records.states import CODES, FINALS
from windrow.records.tables import Attempt, Execution, ExecutionReport


@dataclass(frozen=True)
class AttemptRecord:
    """One run of the execution."""

    id: str
    outcome: str | None
    """None while it runs."""
    worker: str | None
    retries: int
    started_at: datetime | None
    ended_at: datetime | None
    run_s: float | None
    error: str | None
    message: str | None
    traceback: str | None


@dataclass(frozen=True)
class Report:
    """What the task reported of itself, with `update_execution`."""

    attempt_id: str
    completed_at: datetime | None
    duration_ms: int | None
    status_id: int | None
    status: str | None
    """The code of the status."""
    result_summary: str | None
    error_message: str | None


@dataclass(frozen=True)
class ExecutionRecord:
    """One task call, as it is on record."""

    id: str
    task_id: str | None
    state: str
    queue: str
    task: str
    args: str | None
    kwargs: str | None
    retries: int
    recoveries: int
    external_id: str | None
    wait_s: float | None
    run_s: float | None
    error: str | None
    error_message: str | None
    result: str | None
    reason: str | None
    progress_state: str | None
    progress: Any
    """What the task last gave to `update_state`."""
    attempts: tuple[AttemptRecord, ...]
    """In the order in which they started."""
    reports: tuple[Report, ...]
    """One for each attempt that reported, in the order of the attempts."""

    @property
    def final(self) -> bool:
        """Whether the state can't change any more."""
        return self.state in FINALS

    @property
    def report(self) -> Report | None:
        """The last attempt's report."""
        return self.reports[-1] if self.reports else None


def find_execution(task_id: str) -> ExecutionRecord | None:
    """The newest execution with this task id in the database of DATABASE_URL; None while there is none."""
    return run_async(_find(task_id))


async def _find(task_id: str) -> ExecutionRecord | None:
    async with DatabaseSessionLocal() as session:
        newest = select(Execution).where(Execution.task_id == task_id).order_by(Execution.id.desc()).limit(1)
        execution = await session.scalar(newest)
        if execution is None:
            return None
        attempts = await session.scalars(select(Attempt).where(Attempt.execution_id == execution.id).order_by(Attempt.id))
        reports = await session.scalars(
            select(ExecutionReport).where(ExecutionReport.execution_id == execution.id).order_by(ExecutionReport.attempt_id)
        )
        return ExecutionRecord(
            id=str(execution.id),
            task_id=execution.task_id,
            state=CODES[execution.status_id],
            queue=execution.queue,
            task=execution.task,
            args=execution.args,
            kwargs=execution.kwargs,
            retries=execution.retries,
            recoveries=execution.recoveries,
            external_id=execution.external_id,
            wait_s=execution.wait_s,
            run_s=execution.run_s,
            error=execution.error,
            error_message=execution.error_message,
            result=execution.result,
            reason=execution.reason,
            progress_state=execution.progress_state,
            progress=json.loads(execution.progress) if execution.progress else None,
            attempts=tuple(_attempt(row) for row in attempts),
            reports=tuple(_report(row) for row in reports),
        )


def _attempt(row: Attempt) -> AttemptRecord:
    return AttemptRecord(
        id=str(row.id),
        outcome=row.outcome,
        worker=row.worker,
        retries=row.retries,
        started_at=row.started_at,
        ended_at=row.ended_at,
        run_s=row.run_s,
        error=row.error,
        message=row.message,
        traceback=row.traceback,
    )


def _report(row: ExecutionReport) -> Report:
    return Report(
        attempt_id=str(row.attempt_id),
        completed_at=row.completed_at,
        duration_ms=row.duration_ms,
        status_id=row.status_id,
        status=CODES.get(row.status_id) if row.status_id is not None else None,
        result_summary=row.result_summary,
        error_message=row.error_message,
    )
