"""One producer process: `python -m benchmarks.produce SIDE TASK COUNT` prints the seconds its `delay()` calls took."""

from __future__ import annotations

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


if __name__ == "__main__":
    print(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
