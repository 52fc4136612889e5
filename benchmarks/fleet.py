"""Several workers of one side, idle before the first call is made."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import waits
from benchmarks.sides import Side, log
from benchmarks.stack import Stack, process, until


def noted(stack: Stack) -> Path:
    """The file in which the bodies note their waits."""
    return stack.folder / "waits"


@contextmanager
def fleet(stack: Stack, side: Side, count: int, settings: Mapping[str, str] | None = None) -> Iterator[None]:
    """`count` workers of a side on an empty Redis, all of them waiting for their first task."""
    stack.empty()
    noted(stack).unlink(missing_ok=True)
    environment = stack.environment({**side.settings, waits.ENV: str(noted(stack)), **(settings or {})})
    with side.services(stack), ExitStack() as running:
        each = [running.enter_context(process(side.worker(stack), environment, log(stack, "worker"))) for _ in range(count)]

        def ready() -> bool:
            if side.producer == "windrow":
                return stack.client.hlen("windrow:workers") == count
            return int(stack.client.info("clients")["blocked_clients"]) >= count

        until(ready, 120, f"{count} workers wait for tasks", each[0])
        waits.call(stack, side.producer, "steady", 2 * count, 20)  # connecting and first imports are not what is measured
        until(lambda: len(waits.read(noted(stack))) >= 2 * count, 60, "the first tasks have run", each[0])
        until(lambda: side.settled(stack), 60, "the records are written")
        noted(stack).unlink()
        yield
        for worker in each:  # all at once; one after the other would take a minute
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
