"""The bare side: Celery as a careful user sets it up for this reference, without Windrow anywhere."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from typing import Any

from celery import Celery
from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from benchmarks import counter, database_task, waits

app = Celery("bare", broker=os.environ.get("REDIS_URL", "redis://localhost"))
if os.environ.get("BENCH_RESULTS") == "1":
    app.conf.result_backend = app.conf.broker_url
app.conf.update(
    task_default_queue=database_task.QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    worker_disable_prefetch=os.environ.get("BENCH_DISABLE_PREFETCH") == "1",
)


class Repository:
    """What the reference's project has in `api.repositories`, with the same statements as Windrow's."""

    async def get_execution_status_by_code(self, session: Any, code: str) -> Any:
        if code not in _statuses:  # they never change: read once by each process, as Windrow's repository does
            found = await session.execute(text("select id, code from bench.statuses"))
            _statuses.update({row.code: row for row in found})
        return _statuses.get(code)

    async def update_execution(self, session: Any, execution_id: str, fields: dict[str, Any]) -> None:
        await session.execute(
            text(
                "insert into bench.reports values (:id, :completed_at, :duration_ms, :status_id, :result_summary, "
                ":error_message) on conflict (execution_id) do update set completed_at = excluded.completed_at, "
                "duration_ms = excluded.duration_ms, status_id = excluded.status_id, "
                "result_summary = excluded.result_summary, error_message = excluded.error_message"
            ),
            {"id": execution_id, **fields},
        )


_statuses: dict[str, Any] = {}
_sessions: Any = None


def sessions() -> Any:
    """A session on a NullPool engine: the pattern's asyncio.run fails on a shared pool from the second task on."""
    global _sessions
    if _sessions is None:
        url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://", 1)
        _sessions = async_sessionmaker(create_async_engine(url, poolclass=NullPool), expire_on_commit=False)
    return _sessions()


def _run_async(coro: Coroutine[Any, Any, Any]) -> Any:
    """The reference's own helper, as printed."""
    try:
        asyncio.get_running_loop()
        import concurrent.futures

        with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
            return executor.submit(asyncio.run, coro).result()
    except RuntimeError:
        return asyncio.run(coro)


@app.task(name="bench.noop")
def noop() -> None:
    counter.tick()


@app.task(name="bench.wait50")
def wait50() -> None:
    time.sleep(0.05)
    counter.tick()


@app.task(name="bench.database", bind=True)
def database(self: Any, execution_id: str | None = None, param1: str = "x", param2: int = 10) -> dict[str, Any]:
    result = _run_async(database_task.execute(sessions, Repository(), execution_id or self.request.id, param1, param2))
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
