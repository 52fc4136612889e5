"""How soon an enqueued call starts after its commit, what `durable=True` costs, and how fast the dispatcher empties an outbox.

    python -m benchmarks.acceptance [CALLS]

Prints JSON. PostgreSQL runs without fsync here, as in tests: on a disk each commit, with `enqueue` or without, takes what the
disk's flush takes. Redis, `windrow server` and one worker with two slots are as they are anywhere.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from benchmarks.acceptance_app import app, stamp
from tests.workers import working
from windrow import enqueue
from windrow.records.engine import database_url
from windrow.testing.platform import Platform
from windrow.testing.waiting import wait_for


def _figures(seconds: list[float]) -> dict[str, float]:
    cuts = quantiles(seconds, n=100)
    return {"p50_ms": round(cuts[49] * 1000, 1), "p99_ms": round(cuts[98] * 1000, 1), "n": len(seconds)}


def _started(evidence: Path) -> dict[str, float]:
    if not evidence.exists():
        return {}
    return {name: float(at) for name, at in (line.split() for line in evidence.read_text().splitlines())}


def _wait(evidence: Path, ids: set[str], seconds: float) -> dict[str, float]:
    wait_for(lambda: ids <= _started(evidence).keys(), seconds, lambda: f"{len(ids - _started(evidence).keys())} are missing")
    return _started(evidence)


async def _commit_each(engine: Any, count: int) -> tuple[dict[str, float], list[float]]:
    committed, took = {}, []
    for n in range(count):
        began = time.time()
        async with AsyncSession(engine) as session:
            made = await enqueue(session, stamp, args=(n,))
            await session.commit()
        committed[made.id] = time.time()
        took.append(committed[made.id] - began)
        await asyncio.sleep(0.02)
    return committed, took


async def _commit_many(engine: Any, count: int) -> None:
    async with AsyncSession(engine) as session:
        for n in range(count):
            await enqueue(session, stamp, args=(n,), queue="nowhere")
        await session.commit()


async def _until_none(engine: Any, where: str) -> None:
    async with engine.connect() as connection:
        for _ in range(100_000):
            if not (await connection.exec_driver_sql(f"SELECT count(*) FROM windrow.outbox {where}")).scalar():
                return
            await asyncio.sleep(0.01)


def main(calls: int) -> dict[str, Any]:
    """Measure, and say what was found."""
    found: dict[str, Any] = {"calls": calls}
    folder = Path(tempfile.mkdtemp(prefix="windrow-bench-"))
    folder.chmod(0o711)
    with Platform(folder) as platform:
        platform.install(app)
        os.environ["STARTS"] = str(folder / "starts")
        with working(platform.redis_url, folder, queue="bench", app="benchmarks.acceptance_app:app") as work:
            work.start(2)
            evidence = folder / "starts"

            async def run() -> None:
                engine = create_async_engine(database_url(platform.database_url))
                await _commit_each(engine, 20)  # warm
                committed, took = await _commit_each(engine, 500)
                starts = await asyncio.to_thread(_wait, evidence, set(committed), 30)
                found["enqueue_and_commit"] = _figures(took)
                found["commit_to_start"] = _figures([starts[one] - at for one, at in committed.items()])
                await _commit_many(engine, calls)
                began = time.monotonic()
                await _until_none(engine, "WHERE published_at IS NULL")
                found["dispatched_per_s"] = round(calls / (time.monotonic() - began))
                await _until_none(engine, "")
                found["dispatched_and_recorded_per_s"] = round(calls / (time.monotonic() - began))
                await engine.dispose()

            asyncio.run(run())
            for name, options in (("delay", {}), ("durable", {"durable": True})):
                took, at = [], {}
                for n in range(320):
                    began = time.time()
                    made = stamp.apply_async((n,), **options)
                    at[made.id] = time.time()
                    took.append(at[made.id] - began)
                    time.sleep(0.01)
                starts = _wait(evidence, set(at), 30)
                ids = list(at)[20:]
                found[name] = _figures(took[20:])
                found[f"{name}_to_start"] = _figures([starts[one] - at[one] for one in ids])
    return found


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000), indent=2))
