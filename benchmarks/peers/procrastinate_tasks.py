"""Procrastinate on PostgreSQL: jobs stay in their table (`--delete-jobs never`, its default)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from procrastinate import App, PsycopgConnector

from benchmarks.peers import work

kill = bool(os.environ.get("BENCH_KILL"))
# procrastinate.readthedocs.io/en/stable/howto/production/retry_stalled_jobs.html:
# heartbeats every 10 s and 30 s of silence by default.
stalled = {"update_heartbeat_interval": 2.0, "stalled_worker_timeout": float(work.SILENCE)} if kill else {}
app = App(
    connector=PsycopgConnector(conninfo=os.environ["DATABASE_URL"]),
    worker_defaults={"concurrency": int(os.environ.get("BENCH_SLOTS", "1")), "fetch_job_polling_interval": 5.0, **stalled},
)

noop = app.task(work.noop_async, name="noop")
wait50 = app.task(work.wait50_async, name="wait50")
marked = app.task(work.marked_async, name="marked")

if kill:  # the recipe of that page; without it a stalled job stays as it is for ever

    @app.periodic(cron="* * * * * */5")
    @app.task(name="retry_stalled", queueing_lock="retry_stalled", pass_context=True)
    async def retry_stalled(context: Any, timestamp: int) -> None:
        for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=work.SILENCE):
            await app.job_manager.retry_job(job)


def publish(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    async def run() -> None:
        async with app.open_async():
            if not await app.check_connection_async():
                await app.schema_manager.apply_schema_async()
            for start in range(0, len(arguments), 500):
                await globals()[task].batch_defer_async(
                    *({"number": each[0]} if each else {} for each in arguments[start : start + 500])
                )

    asyncio.run(run())
