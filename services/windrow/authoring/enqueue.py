"""`enqueue(session, task, …)`: a task call that is accepted by the caller's own transaction."""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast, overload
from uuid import UUID
from weakref import WeakSet

from celery.result import AsyncResult
from sqlalchemy import Executable, Insert, Table, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Engine, Result
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from windrow.authoring.written import Call, windrow_task, written
from windrow.records.outbox import IDEMPOTENCY
from windrow.records.tables import ExecutionKey, Outbox

MOST_KEY = 500
"""Characters of an idempotency key."""

_OWN = ("producer", "connection", "router", "durable")
"""Options of `apply_async` that say how a call is published."""

_Steps = Generator[tuple[Executable, dict[str, Any]], "Result[Any]", "Enqueued"]

_with_outbox: WeakSet[Engine] = WeakSet()
"""Engines whose database was seen to have the outbox."""


class OutboxMissing(RuntimeError):
    """The session's database has no outbox, so it can't accept a task call; the sentence says what to do."""


class Enqueued(AsyncResult):
    """Celery's AsyncResult of an enqueued call."""

    execution_id: str
    """The execution's id."""
    repeated: bool
    """Whether the idempotency key had been used: this is the execution of that time, and no other will run."""


@overload
def enqueue(
    session: AsyncSession | async_scoped_session[Any] | AsyncConnection, task: Any, *, args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ..., idempotency_key: str | None = ..., **options: Any,
) -> Coroutine[Any, Any, Enqueued]: ...  # fmt: skip


@overload
def enqueue(
    session: Session | scoped_session[Any] | Connection, task: Any, *, args: Sequence[Any] = ...,
    kwargs: Mapping[str, Any] | None = ..., idempotency_key: str | None = ..., **options: Any,
) -> Enqueued: ...  # fmt: skip


def enqueue(
    session: Any, task: Any, *, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None,
    idempotency_key: str | None = None, **options: Any,
) -> Any:  # fmt: skip
    """Accept a call of `task` in the transaction of `session`: rolled back, nothing has happened; committed, it will run.

    With an async session (or connection) this must be awaited, with a plain one it is done at once. `options` are those of
    `apply_async`: countdown, eta, expires, priority, queue, task_id, … A second call of the task with the same
    `idempotency_key`, while the first is on record, gives the first one's result and runs nothing. The message is made here and
    now (a countdown counts from now); it is on its queue some milliseconds after the commit.

    Raises what `apply_async` raises for bad arguments, TypeError for no session or no task, ValueError for a bad key, and
    OutboxMissing when the session's database has no outbox.
    """
    is_async = isinstance(session, AsyncSession | async_scoped_session | AsyncConnection)
    if not is_async and not isinstance(session, Session | scoped_session | Connection):
        raise TypeError(f"enqueue must be given an SQLAlchemy session or connection, sync or async, not {session!r}")
    windrow_task(task, "what is enqueued")
    for name in _OWN:
        if name in options:
            raise TypeError(f"{name} must be left out of enqueue: the dispatcher publishes what is committed")
    key = None if idempotency_key is None else _key(task, idempotency_key)
    return (
        _enqueue_async(session, task, args, kwargs, key, options)
        if is_async
        else _enqueue(session, task, args, kwargs, key, options)
    )


async def _enqueue_async(session: Any, task: Any, args: Any, kwargs: Any, key: str | None, options: dict[str, Any]) -> Any:
    connection = session if isinstance(session, AsyncConnection) else await session.connection()
    if task.app.conf.task_always_eager:
        return task.apply_async(args, kwargs, **options)
    assert connection.sync_connection is not None  # noqa: S101  # it has been connected
    steps = _steps(connection.sync_connection, written(task, args, kwargs, options), key)
    try:
        step = next(steps)
        while True:
            step = steps.send(await connection.execute(*step))
    except StopIteration as done:
        return done.value


def _enqueue(session: Any, task: Any, args: Any, kwargs: Any, key: str | None, options: dict[str, Any]) -> Any:
    if task.app.conf.task_always_eager:
        return task.apply_async(args, kwargs, **options)
    connection = session if isinstance(session, Connection) else session.connection()
    steps = _steps(connection, written(task, args, kwargs, options), key)
    try:
        step = next(steps)
        while True:
            step = steps.send(connection.execute(*step))
    except StopIteration as done:
        return done.value


def _steps(connection: Connection, call: Call, key: str | None) -> _Steps:
    """The statements of one call, each given out to be executed; the result is theirs."""
    engine = connection.engine
    if engine.dialect.name != "postgresql":
        raise OutboxMissing(
            f"the session of enqueue must be one on PostgreSQL, whose transaction accepts the call, not on "
            f"{engine.dialect.name}: use a session of the platform's database (DATABASE_URL), or delay()"
        )
    if engine not in _with_outbox:
        found = yield select(func.to_regclass("windrow.outbox").is_not(None)), {}
        if not found.scalar():
            raise OutboxMissing(
                f"the session's database {engine.url.database!r} on {engine.url.host or 'a local socket'} must have Windrow's "
                "outbox to accept a call, and has none: use a session of the platform's database (DATABASE_URL, whose tables "
                "`windrow migrate` makes), or run `windrow migrate --outbox URL` and name the URL in the server's "
                "WINDROW_OUTBOXES"
            )
        _with_outbox.add(engine)
    if key is not None and (yield use_key(), key_of(call, key)).scalar() is None:
        row = (yield _used_by(), {"kind": IDEMPOTENCY, "key": key}).one()
        return _result(call, row.execution_id, row.task_id, repeated=True)
    yield insert_call(), values_of(call)
    return _result(call, call.execution_id, call.task_id, repeated=False)


def _result(call: Call, execution: UUID, task_id: str | None, *, repeated: bool) -> Enqueued:
    made = Enqueued(task_id or call.task_id, app=call.result.app, task_name=call.task)
    made.execution_id, made.repeated = str(execution), repeated
    return made


def _key(task: Any, given: object) -> str:
    """The key as it is kept: one task's keys are not another's."""
    if not isinstance(given, str) or not 0 < len(given) <= MOST_KEY or "\x00" in given:
        raise ValueError(f"idempotency_key must be text of 1 to {MOST_KEY} characters, not {given!r:.100}")
    return f"{task.name} {given}"


@lru_cache(maxsize=2)
def insert_call(*, published: bool = False) -> Insert:
    """Writes a call into the outbox; `published`: the caller publishes it itself, right after the commit."""
    table = cast(Table, Outbox.__table__)
    names = ("execution_id", "queue", "task", "task_id", "body")
    values: dict[str, Any] = {name: bindparam(name, type_=table.c[name].type) for name in names}
    return insert(table).values({**values, "published_at": func.now()} if published else values)


def values_of(call: Call) -> dict[str, Any]:
    """The values that `insert_call` writes."""
    return {
        "execution_id": call.execution_id, "queue": call.queue, "task": call.task, "task_id": call.task_id,
        "body": call.message.encode(),
    }  # fmt: skip


@lru_cache(maxsize=1)
def use_key() -> Executable:
    """Takes a key for a call; gives nothing when it had been taken."""
    table = cast(Table, ExecutionKey.__table__)
    names = ("kind", "key", "execution_id", "task_id")
    values = {name: bindparam(name, type_=table.c[name].type) for name in names}
    return insert(table).values(values).on_conflict_do_nothing().returning(table.c.execution_id)


def key_of(call: Call, key: str) -> dict[str, Any]:
    """The values that `use_key` writes."""
    return {"kind": IDEMPOTENCY, "key": key, "execution_id": call.execution_id, "task_id": call.task_id}


@lru_cache(maxsize=1)
def _used_by() -> Executable:
    c = cast(Table, ExecutionKey.__table__).c
    return select(c.execution_id, c.task_id).where(c.kind == bindparam("kind"), c.key == bindparam("key"))
