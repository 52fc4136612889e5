"""The row `recorder`: lifecycles that the real server puts on record in a second (`python -m benchmarks.recorder`)."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import psutil

from benchmarks import measure
from benchmarks.lifecycles import QUEUE
from benchmarks.stack import Stack, folder, process, start, until

STREAM = "windrow:events"
SETTLE_S = 4.0
"""Seconds under load before the first reading."""

_FINISHED = f"SELECT COALESCE(sum(value), 0) FROM windrow.totals WHERE kind = 'finished' AND queue = '{QUEUE}'"


@dataclass(frozen=True)
class Recorded:
    """What was put on record while the clock ran; CPU is in cores."""

    per_s: float
    slices: tuple[float, ...]
    """Lifecycles a second in each part of the time."""
    server: float
    postgres: float
    redis: float
    generator: float
    lag_s: float
    """The age of the oldest entry not on record, at most over the readings (s)."""
    most_memory_mb: float
    """Of the server process, at most over the readings."""

    @property
    def server_us(self) -> float:
        """CPU of the server process for a lifecycle, in µs."""
        return self.server / self.per_s * 1e6

    @property
    def postgres_us(self) -> float:
        """CPU of PostgreSQL for a lifecycle, in µs."""
        return self.postgres / self.per_s * 1e6


def turn(
    stack: Stack, seconds: float, parts: int, rate: float, say: Callable[[str], None], *, backlog: int = 20_000
) -> Recorded:
    """Record for `seconds`, at `rate` lifecycles a second or, when it is 0, as fast as it goes."""
    stack.client.flushdb()
    environment = stack.environment({"WINDROW_PORT": "0"})
    announced = stack.folder / "server.json"
    announced.unlink(missing_ok=True)
    log = stack.folder / "recorder.log"
    fill = [sys.executable, "-m", "benchmarks.lifecycles", "--rate", str(rate), "--backlog", str(backlog)]
    with process([sys.executable, "-m", "windrow.server"], environment, log) as server:
        until(announced.exists, 60, "the server listens", server)
        with process(fill, environment, log) as generator:
            until(lambda: _finished(stack) > 0, 60, "the first lifecycle is on record", server)
            time.sleep(SETTLE_S)
            found = _watch(stack, server.pid, generator.pid, seconds, parts)
        until(lambda: stack.client.xlen(STREAM) == 0, 60, "the rest is on record", server)
    asked = f"at {rate:,.0f}/s" if rate else "as fast as it goes"
    say(
        f"recorder: {asked}: {found.per_s:,.0f} lifecycles/s; server {found.server:.2f} cores ({found.server_us:.0f} µs each), "
        f"PostgreSQL {found.postgres:.2f} ({found.postgres_us:.0f} µs), "
        f"Redis {found.redis:.2f}, generator {found.generator:.2f}; "
        f"lag at most {found.lag_s:.1f} s, server at most {found.most_memory_mb:.0f} MB"
    )
    return found


def _watch(stack: Stack, server: int, generator: int, seconds: float, parts: int) -> Recorded:
    sides = {"server": server, "postgres": stack.postgres_pid(), "redis": stack.redis_pid(), "generator": generator}
    client, memory, lag = stack.client, 0.0, 0.0
    readings = []
    until_part = time.monotonic()
    for _ in range(parts + 1):
        while time.monotonic() < until_part:
            time.sleep(0.5)
            memory = max(memory, psutil.Process(server).memory_info().rss / 2**20)
            first = client.xrange(STREAM, count=1)
            lag = max(lag, time.time() - int(first[0][0].split(b"-")[0]) / 1000 if first else 0.0)
        readings.append((time.monotonic(), _finished(stack), {name: measure.tree_cpu(pid) for name, pid in sides.items()}))
        until_part = readings[-1][0] + seconds / parts
    (began, before, first_cpu), (ended, after, last_cpu) = readings[0], readings[-1]
    cores = {name: (last_cpu[name] - first_cpu[name]) / (ended - began) for name in sides}
    slices = tuple((b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(readings))
    return Recorded((after - before) / (ended - began), slices, **cores, lag_s=lag, most_memory_mb=memory)


def _finished(stack: Stack) -> int:
    made = stack.ask("SELECT count(to_regclass('windrow.totals'))")
    return stack.ask(_FINISHED) if made else 0


def main() -> None:
    """Start Redis and PostgreSQL, measure, print a line for each turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorder", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument(
        "--rate", type=float, nargs="+", default=[0.0, 1000.0], help="lifecycles a second; 0: as fast as it goes"
    )
    parser.add_argument("--backlog", type=int, default=20_000, help="entries in the stream at most")
    flags = parser.parse_args()
    for rate in flags.rate:
        with folder("windrow-recorder-") as made, start(made) as stack:
            turn(stack, flags.seconds, 3, rate, print, backlog=flags.backlog)


if __name__ == "__main__":
    main()
