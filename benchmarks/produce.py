"""One producer process: `python -m benchmarks.produce SIDE TASK COUNT [adelay]` prints the seconds each of its calls took."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time

MODULES = {"bare": "benchmarks.bare", "windrow": "benchmarks.windrowed"}
WARM = 50
"""Calls before the clock starts: connecting and the first serialisation are not what is measured."""


def main(side: str, task: str, count: int) -> float:
    """Publish `count` tasks, the first ones untimed; returns seconds for each timed call."""
    call = getattr(importlib.import_module(MODULES[side]), task).delay
    warm = min(WARM, count // 10)
    for _ in range(warm):
        call()
    started = time.perf_counter()
    for _ in range(count - warm):
        call()
    return (time.perf_counter() - started) / (count - warm)


COROUTINES = 20
"""How many publish at the same time with `adelay`."""


async def awaited(side: str, task: str, count: int) -> float:
    """As `main`, by `await task.adelay()` in several coroutines."""
    call = getattr(importlib.import_module(MODULES[side]), task).adelay

    async def publish(calls: int) -> None:
        for _ in range(calls):
            await call()

    await publish(min(WARM, count // 10))
    each = max(count // COROUTINES, 1)
    started = time.perf_counter()
    await asyncio.gather(*(publish(each) for _ in range(COROUTINES)))
    return (time.perf_counter() - started) / (each * COROUTINES)


if __name__ == "__main__":
    side, task, count, *how = sys.argv[1:]
    print(asyncio.run(awaited(side, task, int(count))) if how else main(side, task, int(count)))
