"""The gates of a worker's process: past its lease no body starts, and the end of one that runs has no consequence."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from windrow.authoring.bodies import body_of
from windrow.broker.fence import FENCED, Fence, now, stand_behind
from windrow.worker.pools.child import Child
from windrow.worker.pools.pipes import Outgoing
from windrow.worker.tails import Tail
from windrow.worker.usage import Single


def _in_a_process(run: Callable[[Fence, int], None]) -> tuple[int, bytes]:
    """Run in a forked process of a worker; its exit code, and what it wrote into the pipe that it was given."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            fence = Fence()
            stand_behind(fence)
            run(fence, writing)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


@pytest.mark.parametrize("outcome", ["returns", "raises"])
@pytest.mark.parametrize("kind", ["plain", "async"])
def test_a_body_that_ends_past_the_lease_takes_its_process_with_it(kind: str, outcome: str) -> None:
    """Whatever it returned or raised: Celery stores, retries and publishes nothing of it."""

    def run(fence: Fence, writing: int) -> None:
        def plain() -> None:
            os.write(writing, b"ran")
            fence.extend(now() - 1)  # the lease ends meanwhile
            if outcome == "raises":
                raise ValueError

        async def waiting() -> None:
            plain()

        fun: Any = plain if kind == "plain" else waiting
        try:
            body_of(fun, bound=False)()
        except ValueError:
            pass
        os.write(writing, b", and went on")

    assert _in_a_process(run) == (FENCED, b"ran")


def test_no_body_starts_past_the_lease() -> None:
    """What a child was given before the lease ended, and has not begun, is not begun."""

    def run(fence: Fence, writing: int) -> None:
        fence.extend(now() - 1)
        child = Child.__new__(Child)
        child.tail = Tail()
        child._run(Outgoing(writing), Single(), 1, lambda: os.write(writing, b"ran"), (), {})

    assert _in_a_process(run) == (FENCED, b"")


def test_while_the_lease_holds_nothing_is_in_the_way() -> None:
    """A body's value comes back, with a deadline ahead and with none."""

    def run(fence: Fence, writing: int) -> None:
        for _ in range(2):
            assert body_of(lambda: 7, bound=False)() == 7
            fence.extend(now() + 60)
        os.write(writing, b"ran")

    assert _in_a_process(run) == (0, b"ran")
