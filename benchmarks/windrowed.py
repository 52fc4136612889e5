"""The Windrow side: the same tasks on `windrow.install`, late acknowledgement, records and metrics on."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from celery import Celery

import windrow
from benchmarks import counter, database_task, waits

_log = logging.getLogger(__name__)
app = windrow.install(Celery("windrowed", broker=os.environ.get("REDIS_URL", "redis://localhost")))
app.conf.update(task_default_queue=database_task.QUEUE, task_ignore_result=True)


@app.task(name="bench.noop")
def noop() -> None:
    counter.tick()


@app.task(name="bench.noop_logged")
def noop_logged() -> None:
    _log.warning("a line")
    counter.tick()


@app.task(name="bench.database")
def database(execution_id: str | None = None, param1: str = "x", param2: int = 10) -> dict[str, Any]:
    result = windrow.run_async(
        database_task.execute(windrow.DatabaseSessionLocal, windrow.SchedulerRepository(), execution_id, param1, param2)
    )
    counter.tick()
    return dict(result)


@app.task(name="bench.noop_async")
async def noop_async() -> None:
    counter.tick()


@app.task(name="bench.wait50")
async def wait50() -> None:
    await asyncio.sleep(0.05)
    counter.tick()


@app.task(name="bench.database_async")
async def database_async(execution_id: str | None = None, param1: str = "x", param2: int = 10) -> dict[str, Any]:
    result = await database_task.execute(
        windrow.DatabaseSessionLocal, windrow.SchedulerRepository(), execution_id, param1, param2
    )
    counter.tick()
    return dict(result)


@app.task(name="bench.part", ignore_result=False)
def part(number: int) -> int:
    return number


@app.task(name="bench.whole", ignore_result=False)
def whole(numbers: list[int]) -> int:
    return sum(numbers)


@app.task(name="bench.waited")
def waited(at: float, seconds: float) -> None:
    waits.note(at, seconds)
