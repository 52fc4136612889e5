"""The row `delays`: how late delayed tasks start while 100,000 wait, on a worker, and how late they are ready where none is."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from benchmarks import waits
from benchmarks.fleet import fleet, noted
from benchmarks.sides import WINDROW
from benchmarks.stack import ROOT, Stack, until

WAITING = 100_000
SPREAD_SECONDS = 3600.0
"""All that waits is due within so long, evenly; the first of it when the measured time is over."""
MEASURED, SECONDS = 3_000, 30.0
"""So many calls of each queue are due, evenly, in the measured time."""
HEAD_SECONDS = 8.0
"""Between the publishing of the measured calls and the first one's time."""
QUIET = "bench_quiet"
"""The queue that no worker serves."""
AT_ONCE = 1000


@dataclass(frozen=True)
class Turn:
    """How late (s; less than 0 is early) each measured call of one turn was."""

    started: list[float]
    """On a worker."""
    ready: list[float]
    """On a queue without one."""


def turn(stack: Stack, say: Callable[[str], None]) -> Turn:
    """Fill the delayed set, then watch the measured calls come due."""
    with fleet(stack, WINDROW, 1):
        began = time.monotonic()
        _publish(stack, "bench", WAITING, SECONDS + 120.0, SPREAD_SECONDS)
        until(lambda: WINDROW.settled(stack), 240, "what waits is on record")
        waiting, took = stack.client.zcard("windrow:delayed:bench"), time.monotonic() - began
        say(f"delays: {waiting} wait, published and on record after {took:.0f} s")
        dues = _publish(stack, QUIET, MEASURED, HEAD_SECONDS + 1, SECONDS)
        _publish(stack, "bench", MEASURED, HEAD_SECONDS, SECONDS)
        ready = list(_watch(stack, dues))
        until(lambda: len(waits.read(noted(stack))) >= MEASURED, 60, "all measured calls have started")
        return Turn([late for late, _ in waits.read(noted(stack))], ready)


def _publish(stack: Stack, queue: str, count: int, first: float, spread: float) -> list[float]:
    """Publish `count` calls, due evenly in `spread` s from `first` s on, from a process of its own; their monotonic times."""
    begin = time.monotonic() + first
    command = [sys.executable, "-m", "benchmarks.delays", queue, str(count), str(begin), str(spread)]
    subprocess.run(command, env=stack.environment(), cwd=ROOT, check=True, capture_output=True)
    return [begin + n * spread / count for n in range(count)]


def _watch(stack: Stack, dues: list[float]) -> Iterator[float]:
    """How late each call was ready; they become ready in the order of their times."""
    client, seen = stack.client, 0
    while seen < len(dues):
        length, now = int(client.llen(QUIET)), time.monotonic()
        yield from (now - due for due in dues[seen:length])
        seen = max(seen, length)
        if now > dues[-1] + 60:
            raise TimeoutError(f"{len(dues)} calls must be ready a minute after the last was due, {length} are")
        time.sleep(0.01)


def main(queue: str, count: int, begin: float, spread: float) -> None:
    """`python -m benchmarks.delays QUEUE COUNT BEGIN SPREAD`: publish calls that note how late they start."""
    from benchmarks.windrowed import app, waited

    offset = datetime.now(UTC) - timedelta(seconds=time.monotonic())
    for at in range(0, count, AT_ONCE):
        with app.producer_or_acquire() as producer:
            for n in range(at, min(at + AT_ONCE, count)):
                due = begin + n * spread / count
                waited.apply_async((due, 0.0), queue=queue, eta=offset + timedelta(seconds=due), producer=producer)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
