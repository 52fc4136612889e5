"""The whole of it: servers, workers, a Redis that loses what it has, and every execution on record finishes."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.apps.evidence import app, work
from tests.integration.acceptance import rows, within
from tests.servers import leading
from tests.workers import Work, producer, working
from windrow import enqueue
from windrow.local.servers import EmbeddedRedis


@pytest.fixture
def own_redis(state_dir: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(state_dir) as server:
        yield server


@pytest.fixture
def running(own_redis: EmbeddedRedis, migrated_database_url: str, tmp_path: Path) -> Iterator[Work]:
    with (
        leading(own_redis.url, tmp_path / "server", DATABASE_URL=migrated_database_url),
        working(own_redis.url, tmp_path) as made,
    ):
        producer(own_redis.url, app)
        made.start(2)
        made.start(2)
        yield made


async def _enqueue(engine: AsyncEngine, count: int, seconds: float) -> None:
    async with AsyncSession(engine) as session:
        for n in range(count):
            await enqueue(session, work, args=(seconds,), queue="work", countdown=2 if n % 10 == 0 else None)
            if n % 20 == 19:
                await session.commit()
        await session.commit()


def _finish(database_url: str, count: int, seconds: float) -> None:
    began = time.monotonic()

    async def use(engine: AsyncEngine) -> list[tuple[Any, ...]]:
        while time.monotonic() - began < seconds:
            found = await rows(engine, "SELECT status_id, count(*) FROM windrow.executions GROUP BY 1 ORDER BY 1")
            if found == [(5, count)]:
                return found
            await asyncio.sleep(0.1)
        return found + await rows(engine, "SELECT count(*) FROM windrow.outbox")

    assert within(database_url, use) == [(5, count)]


def _repeated(work: Work) -> int:
    ends: dict[str, int] = {}
    for line in work.lines():
        if line[2] == "end":
            ends[line[3]] = ends.get(line[3], 0) + 1
    return sum(count - 1 for count in ends.values())


def test_emptied_under_load_every_recorded_execution_finishes(
    running: Work, own_redis: EmbeddedRedis, migrated_database_url: str
) -> None:
    """FLUSHALL with hundreds waiting, some delayed, some running: all finish, and what runs goes on."""
    within(migrated_database_url, lambda engine: _enqueue(engine, 400, 0.02))
    with redis.Redis.from_url(own_redis.url) as client:
        client.flushall()
    _finish(migrated_database_url, 400, 60)
    assert _repeated(running) < 100, "only what ended in the moment before it, unrecorded, runs again"


def test_a_redis_that_comes_back_empty_costs_no_accepted_call(
    running: Work, own_redis: EmbeddedRedis, migrated_database_url: str
) -> None:
    """kill -9, and its files are gone: what was accepted by the database finishes."""
    within(migrated_database_url, lambda engine: _enqueue(engine, 300, 0.02))
    assert own_redis.process is not None
    own_redis.process.kill()
    own_redis.process.wait()
    shutil.rmtree(own_redis.state_dir / own_redis.name)
    own_redis.stop()
    own_redis.start()
    _finish(migrated_database_url, 300, 60)
    assert _repeated(running) < 100, "only what ended in the moment before it, unrecorded, runs again"
