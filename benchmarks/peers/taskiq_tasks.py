"""Taskiq on Redis streams, the broker of taskiq-redis that acknowledges; no result backend, so that nothing is kept twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

from taskiq_redis import RedisStreamBroker

from benchmarks.peers import work

# github.com/taskiq-python/taskiq-redis: idle_timeout is 10 minutes by default; what is idle for longer is claimed again, and
# a lock whose holder was killed stays without unacknowledged_lock_timeout. consumer_id 0: what was published before the
# first worker counts.
settings = {"idle_timeout": work.SILENCE * 1000} if os.environ.get("BENCH_KILL") else {}
broker = RedisStreamBroker(
    url=os.environ["REDIS_URL"], queue_name="bench", consumer_id="0", unacknowledged_lock_timeout=5.0, **settings
)

noop = broker.task(task_name="noop")(work.noop_async)
wait50 = broker.task(task_name="wait50")(work.wait50_async)
marked = broker.task(task_name="marked")(work.marked_async)


def publish(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    async def run() -> None:
        await broker.startup()
        for each in arguments:
            await globals()[task].kiq(*each)
        await broker.shutdown()

    asyncio.run(run())
