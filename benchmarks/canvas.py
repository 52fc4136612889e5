"""The row `canvas`: chords, from their publishing to the results of their bodies.

`python -m benchmarks.canvas SIDE COUNT` is its producer.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import database_task
from benchmarks.produce import MODULES
from benchmarks.sides import BARE, WINDROW, log
from benchmarks.stack import ROOT, Stack, process

HEADER = 20
"""Tasks in a chord's header."""
RESULTS = {"BENCH_RESULTS": "1"}


def turns(stack: Stack, count: int, rounds: int, say: Callable[[str], None]) -> dict[str, Sequence[float]]:
    """Chords a second of each side and round: two prefork slots, results in the same Redis."""
    found: dict[str, list[float]] = {"bare": [], "windrow": []}
    for number in range(rounds):
        for side in (BARE[0], WINDROW) if number % 2 == 0 else (WINDROW, BARE[0]):
            stack.empty()
            stack.execute(database_task.TABLE)
            environment = stack.environment({**side.settings, **RESULTS})
            with side.services(stack), process(side.worker(stack), environment, log(stack, "worker")):
                done = subprocess.run(
                    [sys.executable, "-m", "benchmarks.canvas", side.producer, str(count)],
                    env=environment, cwd=ROOT, check=True, capture_output=True, text=True, timeout=300,
                )  # fmt: skip
            found[side.producer].append(count / float(json.loads(done.stdout.splitlines()[-1])))
            say(f"canvas: round {number + 1}, {side.producer}: {found[side.producer][-1]:,.1f} chords/s")
    return dict(found)


def main(side: str, count: int) -> float:
    """Publish `count` chords and wait for all of their bodies; seconds, after one chord that says that a worker is there."""
    module: Any = importlib.import_module(MODULES[side])
    from celery import chord

    def publish() -> Any:
        return chord([module.part.s(number) for number in range(HEADER)])(module.whole.s())

    assert publish().get(timeout=60) == sum(range(HEADER))
    started = time.perf_counter()
    results = [publish() for _ in range(count)]
    for result in results:
        result.get(timeout=240)
    return time.perf_counter() - started


if __name__ == "__main__":
    print(main(sys.argv[1], int(sys.argv[2])))
