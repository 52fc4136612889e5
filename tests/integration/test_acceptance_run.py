"""The dispatcher in a server that is killed again and again, with two of them: each call runs once."""

from __future__ import annotations

from pathlib import Path

import redis
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from tests.apps.evidence import app, work
from tests.integration.acceptance import rows, within
from tests.servers import leading
from tests.waiting import wait_until
from tests.workers import producer, working
from windrow import enqueue

CALLS = 900


def test_killed_while_it_dispatches_and_recorded_each_call_runs_once(
    redis_url: str, redis_client: redis.Redis, migrated_database_url: str, tmp_path: Path
) -> None:
    """kill -9 in the middle of an outbox, three times; in the end each call has one final, and its body ran once."""

    async def call(engine: AsyncEngine) -> None:
        async with AsyncSession(engine) as session:
            for _ in range(CALLS // 3):
                await enqueue(session, work, queue="work")
            await session.commit()

    async def finished(engine: AsyncEngine) -> bool:
        found = await rows(engine, "SELECT status_id, count(*) FROM windrow.executions GROUP BY 1")
        left = await rows(engine, "SELECT count(*) FROM windrow.outbox")
        return found == [(5, CALLS)] and left == [(0,)]

    with working(redis_url, tmp_path) as running:
        producer(redis_url, app)
        running.start(2)
        for n in range(3):
            with leading(redis_url, tmp_path / f"server{n}", DATABASE_URL=migrated_database_url):
                before = len(running.lines())
                within(migrated_database_url, call)
                wait_until(lambda before=before: len(running.lines()) > before, 30, "the first of them to run", pause=0.005)
            redis_client.delete("windrow:leader", "windrow:server")  # what their time to live does in 8 s
        with (
            leading(redis_url, tmp_path / "a", DATABASE_URL=migrated_database_url),
            leading(redis_url, tmp_path / "b", DATABASE_URL=migrated_database_url),
        ):
            wait_until(lambda: within(migrated_database_url, finished), 40, "all to be finished and on record", pause=0.3)
        ends = [line[3] for line in running.lines() if line[2] == "end"]
        assert len(ends) == len(set(ends)) == CALLS
