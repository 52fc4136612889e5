"""`durable=True`: a call is accepted when it is in PostgreSQL, and published right after.

The outbox's row is committed on the database of DATABASE_URL first. It counts as published from then on, so that the
dispatcher leaves it to this process; should this end, or Redis be away, before the call is out, the dispatcher publishes it
some seconds later.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from windrow.authoring.database import get_engine
from windrow.authoring.enqueue import insert_call, values_of
from windrow.authoring.loop import run_async
from windrow.authoring.publishing import AWAY, outlet_of
from windrow.authoring.written import Call, written
from windrow.broker.publication import kept_publication
from windrow.settings import Settings

logger = logging.getLogger(__name__)

SECONDS = 5.0
"""How long the database may take to accept a call."""


class NotAccepted(RuntimeError):
    """The database could not accept the call; the sentence says why. Nothing will run."""


def accept(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Accept a call in the database, publish it, and return its AsyncResult.

    Raises NotAccepted, and what `apply_async` raises for bad arguments.
    """
    call = _written(task, args, kwargs, options)
    run_async(_commit(call))
    _publish(task.app, call)
    return call.result


async def accept_soon(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """`accept` for coroutines."""
    call = _written(task, args, kwargs, options)
    await _commit(call)
    await asyncio.to_thread(_publish, task.app, call)
    return call.result


def _written(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Call:
    if Settings.from_env().database_url is None:
        raise NotAccepted(
            f"DATABASE_URL must say where the platform's PostgreSQL is for {task.name} to be accepted with durable=True, "
            "but it is not set: postgresql://user:password@host/name"
        )
    # A group's producer would hold the message back until all are made.
    own = {name: value for name, value in options.items() if name not in ("producer", "connection")}
    return written(task, args, kwargs, own)


async def _commit(call: Call) -> None:
    try:
        async with asyncio.timeout(SECONDS), get_engine().begin() as connection:
            await connection.execute(insert_call(published=True), values_of(call))
    except (TimeoutError, OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        said = str(getattr(error, "orig", None) or error).split("\n")[0] or "no answer"
        raise NotAccepted(
            f"the database must accept the call of {call.task} within {SECONDS:.0f} s (durable=True), with the tables that "
            f"`windrow migrate` makes; it said: {said}"
        ) from error


def _publish(app: Any, call: Call) -> None:
    """Publish what is accepted; if that fails now, the dispatcher does it."""
    outlet = outlet_of(app)
    try:
        if outlet.connect():
            outlet.send([kept_publication(call.message, call.queue, outlet.keys)])
    except AWAY as error:
        logger.warning("%s is accepted and will be published by the dispatcher; Redis said: %s", call.task_id, error)
