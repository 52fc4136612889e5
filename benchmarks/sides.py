"""The two sides: how each starts what a turn needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.stack import Stack, process, until

SLOTS = 2
LOG_LEVEL = "WARNING"
"""Celery's own default; Windrow's is INFO, which would write two lines for each task on one side only."""
SPEC = """apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: bench}
spec:
  queue: bench
  app: benchmarks.windrowed:app
  pool: %s
  concurrency: %d
"""


@dataclass(frozen=True)
class Side:
    """One contestant: `producer` names the module that publishes, `settings` is the environment of this variant.

    `pool` and `slots` are its worker's.
    """

    name: str
    producer: str
    settings: Mapping[str, str] = field(default_factory=dict)
    pool: str = "prefork"
    slots: int = SLOTS
    tasks: Mapping[str, str] = field(default_factory=dict)
    """Names of its own for some of the bench's tasks: what one side does in a coroutine, the other may do in a function."""

    def worker(self, stack: Stack) -> list[str]:
        """The command of its worker."""
        if self.producer == "windrow":
            spec = stack.folder / "bench.yaml"
            spec.write_text(SPEC % (self.pool, self.slots))
            return [sys.executable, "-m", "windrow.cli", "worker", "bench", "-f", str(spec)]
        pool = ["-P", self.pool, "-c", str(self.slots), "-Q", "bench", "-l", LOG_LEVEL]
        return [sys.executable, "-m", "celery", "-A", "benchmarks.bare", "worker", *pool]

    @contextmanager
    def services(self, stack: Stack) -> Iterator[list[int]]:
        """Process ids of what runs beside the worker: Windrow's server, which writes records; bare Celery has none."""
        if self.producer == "bare":
            yield []
            return
        server_file = stack.folder / "server.json"
        server_file.unlink(missing_ok=True)
        with process([sys.executable, "-m", "windrow.server"], stack.environment(), log(stack, "server")) as server:
            until(server_file.exists, 30, "the server writes its address", server)
            yield [server.pid]

    def settled(self, stack: Stack) -> bool:
        """Whether all that was measured is also on record."""
        return self.producer == "bare" or stack.client.xlen("windrow:events") == 0


BARE = (
    Side("prefetch 4", "bare", {"BENCH_PREFETCH": "4"}),
    Side("prefetch 64", "bare", {"BENCH_PREFETCH": "64"}),
    Side("prefetch off", "bare", {"BENCH_DISABLE_PREFETCH": "1"}),
)
WINDROW = Side("windrow", "windrow", {"WINDROW_LOG_LEVEL": LOG_LEVEL})


def log(stack: Stack, name: str) -> Path:
    """Where a process of the bench logs."""
    return Path(os.fspath(stack.folder)) / f"{name}.log"
