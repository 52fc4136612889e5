"""What the tests of acceptance share: an app, sessions, a dispatcher in this process, what is where."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import redis
from celery import Celery
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from windrow.authoring.install import install
from windrow.broker.client import connect
from windrow.records.engine import make_engine
from windrow.records.recorder import Recorder
from windrow.server.dispatching import Dispatcher
from windrow.server.platform import Platform


def make_app(redis_url: str) -> Celery:
    """An app with a task `kept.add` on queue `kept`."""
    made = install(Celery("kept", set_as_current=False), redis_url)

    @made.task(name="kept.add", shared=False, queue="kept")
    def add(x: int, y: int = 0) -> int:
        return x + y

    @made.task(name="kept.other", shared=False, queue="kept")
    def other() -> None:
        return None

    return made


def within(database_url: str, use: Callable[[AsyncEngine], Awaitable[Any]]) -> Any:
    """Run `use(engine)` on a loop and an engine of its own."""

    async def run() -> Any:
        engine = make_engine(database_url)
        try:
            return await use(engine)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def in_session(engine: AsyncEngine, use: Callable[[AsyncSession], Awaitable[Any]], *, commit: bool = True) -> Any:
    """What `use(session)` gives, committed or rolled back."""
    async with AsyncSession(engine) as session:
        value = await use(session)
        await (session.commit() if commit else session.rollback())
        return value


async def rows(engine: AsyncEngine, statement: str, **values: Any) -> list[tuple[Any, ...]]:
    """The rows that a statement gives."""
    async with engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(text(statement), values)]


def platform(redis_url: str, engine: AsyncEngine, *outboxes: AsyncEngine) -> Platform:
    """A platform that leads and is migrated."""
    client = connect(redis_url)
    made = Platform(client, engine, Recorder(engine), redis_url, {}, outboxes=outboxes)
    made.lead(True)
    made.migrated.set()
    return made


async def dispatch(redis_url: str, engine: AsyncEngine) -> int:
    """Publish all that the outbox holds; says how many rows there were."""
    dispatcher = Dispatcher(platform(redis_url, engine))
    total = 0
    try:
        async with engine.connect() as pooled:
            raw: Any = (await pooled.get_raw_connection()).driver_connection
            while found := await dispatcher.step(raw):
                total += found
    finally:
        await dispatcher.close()
    return total


def messages(client: redis.Redis, queue: str = "kept") -> list[dict[str, Any]]:
    """The ready messages of a queue, the oldest first."""
    return [json.loads(one) for one in reversed(client.lrange(queue, 0, -1))]  # type: ignore[arg-type]
