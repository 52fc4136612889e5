"""arq: `max_jobs` and `poll_delay` from the environment, everything else its defaults (results are kept for an hour)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from benchmarks.peers import work


async def noop(ctx: dict[str, Any]) -> None:
    await work.noop_async()


async def wait50(ctx: dict[str, Any]) -> None:
    await work.wait50_async()


async def marked(ctx: dict[str, Any], number: int) -> None:
    await work.marked_async(number)


class WorkerSettings:
    """arq-docs.helpmanual.io/#arq.worker.Worker: the default poll_delay of 0.5 s would leave slots empty between polls."""

    functions = (noop, wait50, marked)
    redis_settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
    max_jobs = int(os.environ.get("BENCH_SLOTS", "10"))
    poll_delay = 0.01
    # A job in progress is taken again when its key expires, 10 s after job_timeout (default 300 s).
    job_timeout = 1 if os.environ.get("BENCH_KILL") else 300


def publish(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    async def run() -> None:
        pool = await create_pool(WorkerSettings.redis_settings)
        for each in arguments:
            await pool.enqueue_job(task, *each)
        await pool.aclose()

    asyncio.run(run())
