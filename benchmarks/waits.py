"""How long calls waited: each body notes the seconds between its call and its start, the same on both sides."""

from __future__ import annotations

import importlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.produce import MODULES
from benchmarks.stack import ROOT, Stack

ENV = "BENCH_WAITS"
LONG_SECONDS, SHORT_SECONDS = 5.0, 0.005
LONG_SHARE = 0.01
MEAN_SECONDS = LONG_SHARE * LONG_SECONDS + (1 - LONG_SHARE) * SHORT_SECONDS


def note(at: float, seconds: float) -> None:
    """Write how long this call waited, then work for so long; `at` is when it was made, monotonic seconds of this machine."""
    line = f"{time.monotonic() - at:.6f} {seconds}\n".encode()
    descriptor = os.open(os.environ[ENV], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, line)
    os.close(descriptor)
    if seconds:
        time.sleep(seconds)


def read(path: Path) -> list[tuple[float, float]]:
    """What was noted: (seconds waited, seconds of work)."""
    if not path.exists():
        return []
    return [(float(wait), float(work)) for wait, work in (line.split() for line in path.read_text().splitlines())]


def quantile(values: Sequence[float], share: float) -> float:
    """The value that `share` of all do not exceed; raises ValueError when there is none."""
    if not values:
        raise ValueError("a quantile must rest on at least one value, none was given")
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def steady(count: int, per_second: float) -> Iterator[tuple[float, float]]:
    """Calls that do nothing, one after the other: (seconds from the start, seconds of work)."""
    for n in range(count):
        yield n / per_second, 0.0


def mixed(count: int, per_second: float, seed: int = 7) -> Iterator[tuple[float, float]]:
    """Arrivals by chance (Poisson), the same for the same seed, each hundredth long at a random place in its hundred."""
    dice = random.Random(seed)
    at, long = 0.0, 0
    for n in range(count):
        if n % 100 == 0:
            long = dice.randrange(100)
        at += dice.expovariate(per_second)
        yield at, LONG_SECONDS if n % 100 == long else SHORT_SECONDS


SCHEDULES = {"steady": steady, "mixed": mixed}


def call(stack: Stack, side: str, schedule: str, count: int, per_second: float) -> None:
    """Make the calls of a schedule from a process of its own; returns when the last one is made."""
    command = [sys.executable, "-m", "benchmarks.waits", side, schedule, str(count), str(per_second)]
    subprocess.run(command, env=stack.environment(), cwd=ROOT, check=True, capture_output=True)


def main(side: str, schedule: str, count: int, per_second: float) -> None:
    """`python -m benchmarks.waits SIDE SCHEDULE COUNT PER_SECOND`: call at the schedule's times."""
    waited = importlib.import_module(MODULES[side]).waited
    begun = time.monotonic() + 0.1
    for at, seconds in SCHEDULES[schedule](count, per_second):
        time.sleep(max(begun + at - time.monotonic(), 0))
        waited.delay(time.monotonic(), seconds)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
