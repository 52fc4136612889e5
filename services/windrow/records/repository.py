"""Reading the records: for the API, the command line and reports. Each function takes a connection or a session.

Rows come as dictionaries with the column's names, `state` in place of `status_id`. All raise what the database raises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Executable, Result, Text, cast, func, or_, select
from sqlalchemy.engine import RowMapping

from windrow.records import states
from windrow.records.tables import Attempt, Execution, ExecutionReport, Message, Outbox

Row = dict[str, Any]

LIMIT: Final = 1_000
"""Most rows that one call lists."""

_executions = Execution.__table__
_attempts = Attempt.__table__
_reports = ExecutionReport.__table__
_messages = Message.__table__
_outbox = Outbox.__table__

IN_OUTBOX: Final = "accepted by a transaction; not on its queue yet"
"""The reason given for an execution that waits in the outbox."""


class Connection(Protocol):
    """What can run a statement: SQLAlchemy's AsyncConnection, or its AsyncSession."""

    async def execute(self, statement: Executable, /) -> Result[Any]:
        """Run one statement."""


async def list_executions(
    connection: Connection,
    *,
    queue: str | None = None,
    state: str | None = None,
    task: str | None = None,
    since: datetime | None = None,
    limit: int = 50,
) -> list[Row]:
    """The newest executions first; `state` is a code of `states`, `since` a time of acceptance.

    Raises ValueError for a state that there is none of.
    """
    statement = select(_executions).order_by(_executions.c.id.desc()).limit(max(0, min(limit, LIMIT)))
    if queue is not None:
        statement = statement.where(_executions.c.queue == queue)
    if task is not None:
        statement = statement.where(_executions.c.task == task)
    if state is not None:
        statement = statement.where(_executions.c.status_id == status_id(state))
    if since is not None:
        statement = statement.where(_executions.c.id >= lowest_id(since))
    return [_with_state(row) for row in (await connection.execute(statement)).mappings()]


async def get_execution(connection: Connection, name: str) -> Row | None:
    """The execution whose id, else the newest whose `execution_id` argument or Celery task id, is `name`; None if none is."""
    matches = or_(_executions.c.external_id == name, _executions.c.task_id == name)
    try:
        identity = UUID(name)
    except ValueError:
        pass
    else:
        row = (await connection.execute(select(_executions).where(_executions.c.id == identity))).mappings().first()
        if row is not None:
            return _with_state(row)
    statement = select(_executions).where(matches).order_by(_executions.c.id.desc()).limit(1)
    row = (await connection.execute(statement)).mappings().first()
    return await _in_outbox(connection, name) if row is None else _with_state(row)


async def states_of(connection: Connection, task_ids: Sequence[str]) -> dict[str, str]:
    """The state of the newest execution of each Celery task id that is on record."""
    c = _executions.c
    statement = select(c.task_id, c.status_id).where(c.task_id.in_(task_ids)).order_by(c.id)
    return {str(row["task_id"]): states.CODES[row["status_id"]] for row in (await connection.execute(statement)).mappings()}


async def _in_outbox(connection: Connection, name: str) -> Row | None:
    """An execution that a transaction has accepted and that has no row of its own yet."""
    c = _outbox.c
    matches = or_(c.task_id == name, cast(c.execution_id, Text) == name)
    columns = (c.execution_id, c.queue, c.task, c.task_id, c.enqueued_at)
    row = (await connection.execute(select(*columns).where(matches).order_by(c.execution_id.desc()).limit(1))).first()
    if row is None:
        return None
    return {
        **dict.fromkeys(column.name for column in _executions.columns if column.name != "status_id"),
        "id": row.execution_id, "queue": row.queue, "task": row.task, "task_id": row.task_id, "state": states.READY,
        "accepted_at": row.enqueued_at, "retries": 0, "recoveries": 0, "attempt_count": 0, "reason": IN_OUTBOX,
    }  # fmt: skip


async def attempts(connection: Connection, execution_id: UUID) -> list[Row]:
    """An execution's attempts, the first first; of what each logged only how much is kept (`log_bytes`)."""
    columns = [column for column in _attempts.columns if column.name != "log"]
    size = func.octet_length(_attempts.c.log).label("log_bytes")
    statement = select(*columns, size).where(_attempts.c.execution_id == execution_id).order_by(_attempts.c.id)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def logs(connection: Connection, execution_id: UUID) -> list[Row]:
    """What each attempt of an execution logged (its end, None when nothing is kept), the first attempt first."""
    c = _attempts.c
    columns = (c.execution_id, c.id, c.queue, c.task, c.worker, c.started_at, c.ended_at, c.outcome, c.log)
    statement = select(*columns).where(c.execution_id == execution_id).order_by(c.id)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def reports(connection: Connection, execution_id: UUID) -> list[Row]:
    """What an execution's attempts reported about themselves, the first first."""
    statement = select(_reports).where(_reports.c.execution_id == execution_id).order_by(_reports.c.reported_at)
    return [_with_state(row) for row in (await connection.execute(statement)).mappings()]


async def message(connection: Connection, execution_id: UUID) -> bytes | None:
    """The kept message of an execution that has not succeeded; None when there is none (any more)."""
    statement = select(_messages.c.body).where(_messages.c.execution_id == execution_id)
    found: bytes | None = (await connection.execute(statement)).scalar()
    return found


async def counts_by_state(
    connection: Connection, *, queue: str | None = None, since: datetime | None = None
) -> dict[str, dict[str, int]]:
    """How many executions of each queue are in each state, by queue, then state code; queues without any are left out."""
    c = _executions.c
    statement = select(c.queue, c.status_id, func.count().label("number")).group_by(c.queue, c.status_id)
    if queue is not None:
        statement = statement.where(_executions.c.queue == queue)
    if since is not None:
        statement = statement.where(_executions.c.id >= lowest_id(since))
    counts: dict[str, dict[str, int]] = {}
    for row in await connection.execute(statement):
        counts.setdefault(row.queue, {})[states.CODES[row.status_id]] = row.number
    return counts


async def last_errors(connection: Connection, *, since: datetime, queue: str | None = None, limit: int = 5) -> list[Row]:
    """The newest attempts since `since` that ended with an error: when, queue, task, execution, error and its text."""
    c = _attempts.c
    statement = (
        select(c.ended_at, c.queue, c.task, c.execution_id, c.outcome, c.error, c.message)
        .where(c.execution_id >= lowest_id(since), c.error.is_not(None))
        .order_by(c.execution_id.desc(), c.id.desc())
        .limit(max(0, min(limit, LIMIT)))
    )
    if queue is not None:
        statement = statement.where(c.queue == queue)
    return [dict(row) for row in (await connection.execute(statement)).mappings()]


async def waits(
    connection: Connection, quantiles: Sequence[float] = (0.5, 0.95), *, since: datetime | None = None
) -> dict[str, list[float]]:
    """By queue, the quantiles of how long executions waited, ready, for their first start (seconds)."""
    c = _executions.c
    wanted = [func.percentile_cont(quantile).within_group(c.wait_s) for quantile in quantiles]
    statement = select(c.queue, *wanted).where(c.wait_s.is_not(None)).group_by(c.queue)
    if since is not None:
        statement = statement.where(c.id >= lowest_id(since))
    found = (await connection.execute(statement)).all()
    return {row[0]: [float(row[index]) for index in range(1, len(quantiles) + 1)] for row in found}


async def unfinished(connection: Connection, *, since: datetime | None = None) -> int:
    """How many executions have no final state."""
    statement = select(func.count()).select_from(_executions).where(_executions.c.status_id.not_in(states.FINAL_IDS))
    if since is not None:
        statement = statement.where(_executions.c.id >= lowest_id(since))
    return int((await connection.execute(statement)).scalar_one())


def status_id(state: str) -> int:
    """The id of a state's code; raises ValueError, naming all codes, when there is no such state."""
    try:
        return states.STATUS_IDS[state]
    except KeyError:
        raise ValueError(f"state must be one of {', '.join(states.STATUS_IDS)}, not {state!r}") from None


def lowest_id(moment: datetime) -> UUID:
    """The smallest execution id of a moment, for reading only the partitions from there on."""
    return UUID(int=max(0, int(moment.astimezone(UTC).timestamp() * 1000)) << 80)


def _with_state(row: RowMapping | Mapping[str, Any]) -> Row:
    made = dict(row)
    status = made.pop("status_id")
    made["state"] = states.CODES.get(status) if status is not None else None
    return made
