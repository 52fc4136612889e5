"""`python -m benchmarks.recorder`: lifecycles (accepted, started, ended) that the recorder puts on record in a second."""

from __future__ import annotations

import argparse
import asyncio
import time

from benchmarks.stack import folder, start
from windrow.broker import events
from windrow.records.engine import make_engine
from windrow.records.migrate import migrate_async
from windrow.records.recorder import Recorder


def lifecycle(number: int) -> list[dict[str, object]]:
    """The events of one no-op task that succeeded."""
    now = time.time()
    execution, attempt, task_id = events.new_id(), events.new_id(), f"bench-{number}"
    common = {"id": execution, "t": now, "queue": "bench", "task": "bench.noop"}
    run = {"attempt": attempt, "worker": "bench/host/1/abcdefgh", "pid": 1, "retries": 0, "recoveries": 0, "wait": 0.01}
    return [
        {**common, "k": events.ACCEPTED, "task_id": task_id, "tag": task_id, "args": "()", "kwargs": "{}", "retries": 0},
        {**common, "k": events.STARTED, **run},
        {**common, "k": events.ENDED, **run, "outcome": "success", "state": "success", "started": now, "run": 0.001},
    ]


async def rate(url: str, count: int, batch: int) -> float:
    """Lifecycles a second, in batches of `batch` entries."""
    await migrate_async(url)
    engine = make_engine(url)
    try:
        recorder = Recorder(engine, stream="bench")
        entries = [(f"{number + 1}-0", lifecycle(number)) for number in range(count)]
        began = time.perf_counter()
        for first in range(0, count, batch):
            await recorder.apply(entries[first : first + batch])
        return count / (time.perf_counter() - began)
    finally:
        await engine.dispose()


def main() -> None:
    """Start a PostgreSQL, measure, print one line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorder", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=200, help="entries of the stream in one transaction")
    flags = parser.parse_args()
    with folder("windrow-recorder-") as made, start(made) as stack:
        found = asyncio.run(rate(stack.database_url, flags.count, flags.batch))
    print(f"{found:,.0f} lifecycles/s on record, in batches of {flags.batch}")


if __name__ == "__main__":
    main()
