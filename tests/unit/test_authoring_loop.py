"""`run_async`: one loop for the process, and what interrupts the wait reaches the coroutine."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import multiprocessing
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from windrow import run_async
from windrow.authoring.calls import Call
from windrow.authoring.loop import event_loop


@pytest.fixture
def soft_limit() -> Iterator[Any]:
    """Arms Celery's soft limit: a signal that raises in the main thread."""

    def raise_it(*_: object) -> None:
        raise SoftTimeLimitExceeded

    old = signal.signal(signal.SIGUSR1, raise_it)
    timers: list[threading.Timer] = []

    def arm(seconds: float = 0.1) -> None:
        timers.append(threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGUSR1)))
        timers[-1].start()

    yield arm
    for timer in timers:
        timer.join()
    signal.signal(signal.SIGUSR1, old)


async def _where() -> tuple[int, int]:
    return id(asyncio.get_running_loop()), threading.get_ident()


def test_every_call_runs_on_the_same_loop() -> None:
    """What belongs to a loop is made once for all tasks: the loop and its thread stay."""
    assert run_async(_where()) == run_async(_where())
    assert run_async(_where())[1] != threading.get_ident()


def test_a_runtime_error_of_the_coroutine_is_its_own() -> None:
    """A RuntimeError that the coroutine raises is no missing loop: it comes out as it is, and the coroutine ran once."""
    runs = []

    async def fails() -> None:
        runs.append(1)
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        run_async(fails())
    assert runs == [1]


def test_it_works_on_the_loop_itself() -> None:
    """On the loop's own thread, which must not wait, the coroutine runs in a thread of its own."""

    async def outer() -> tuple[int, int]:
        return run_async(_where())

    assert run_async(outer())[1] not in (run_async(_where())[1], threading.get_ident())


def test_it_works_beside_another_running_loop() -> None:
    """In a program that has a loop of its own, `run_async` still runs on Windrow's."""

    async def program() -> tuple[int, int]:
        return run_async(_where())

    assert asyncio.run(program()) == run_async(_where())


def test_the_callers_context_is_visible() -> None:
    """Context variables of the caller are seen by the coroutine."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("seen")

    async def look() -> str:
        return variable.get()

    assert run_async(look()) == "seen"


def test_only_a_coroutine_is_taken() -> None:
    """The function itself, uncalled, is refused with a sentence."""
    with pytest.raises(TypeError, match="must be given a coroutine"):
        run_async(_where)  # type: ignore[arg-type]


def test_the_soft_limit_runs_except_and_finally(soft_limit: Any) -> None:
    """`except Exception` and `finally` of the coroutine run, with their own awaits, before the caller sees the limit."""
    steps: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        except Exception as exc:
            steps.append(type(exc).__name__)
            await asyncio.sleep(0.01)
            raise
        finally:
            await asyncio.sleep(0.01)
            steps.append("finally")

    soft_limit()
    with pytest.raises(SoftTimeLimitExceeded) as caught:
        run_async(work())
    assert steps == ["SoftTimeLimitExceeded", "finally"]
    assert not isinstance(caught.value, asyncio.CancelledError)


def test_the_soft_limit_can_be_answered(soft_limit: Any) -> None:
    """A coroutine that catches the limit goes on, uncancelled, and its value is the result."""

    async def work() -> int:
        try:
            await asyncio.sleep(30)
        except SoftTimeLimitExceeded:
            await asyncio.sleep(0.01)
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    soft_limit()
    assert run_async(work()) == 0


@pytest.mark.parametrize("kind", ["group", "gather", "wait_for", "timeout"])
def test_the_soft_limit_ends_what_the_coroutine_started(soft_limit: Any, kind: str) -> None:
    """What the coroutine waits for, in asyncio's own constructs, has ended when the caller sees the limit."""
    ended: list[int] = []

    async def part(number: int) -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(number)

    async def work() -> None:
        if kind == "group":
            async with asyncio.TaskGroup() as group:
                group.create_task(part(1))
                group.create_task(part(2))
        elif kind == "gather":
            await asyncio.gather(part(1), part(2))
        elif kind == "wait_for":
            await asyncio.wait_for(part(1), 30)
            ended.append(2)
        else:
            async with asyncio.timeout(30):
                await part(1)

    soft_limit()
    with pytest.raises(SoftTimeLimitExceeded):
        run_async(work())
    assert sorted(ended) == ([1, 2] if kind in ("group", "gather") else [1])


def test_the_soft_limit_comes_though_the_awaited_swallows_it(soft_limit: Any) -> None:
    """A part that swallows its cancellation does not keep the limit from the coroutine."""

    async def stubborn() -> None:
        try:
            await asyncio.sleep(30)
        except BaseException:
            pass  # swallowing the cancellation is what this part does wrong

    async def work() -> None:
        await asyncio.create_task(stubborn())
        await asyncio.sleep(30)

    soft_limit()
    with pytest.raises(SoftTimeLimitExceeded):
        run_async(work())


def test_an_interrupt_cancels_and_goes_on_to_the_caller(soft_limit: Any) -> None:
    """Ctrl-C cancels the coroutine, waits for its end and is raised; the loop lives on."""
    ended = []

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    # Where the run was started in the background, Ctrl-C is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_async(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended
    assert run_async(_where())


def test_calls_of_many_threads_run_side_by_side() -> None:
    """The loop runs the coroutines of several threads at once."""
    barrier = asyncio.Barrier(4)

    async def meet() -> int:
        async with asyncio.timeout(10):
            return await barrier.wait()

    met: list[int] = []
    threads = [threading.Thread(target=lambda: met.append(run_async(meet()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(met) == [0, 1, 2, 3]


def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    """A loop made before a fork is the parent's; the child makes its own and does not hang."""
    event_loop()
    queue = multiprocessing.get_context("fork").Queue()

    def child() -> None:
        queue.put(run_async(_where())[1] is not None)

    process = multiprocessing.get_context("fork").Process(target=child)
    process.start()
    assert queue.get(timeout=10)
    process.join(10)
    assert process.exitcode == 0


def test_a_call_leaves_nothing_for_the_garbage_collector() -> None:
    """What a task's coroutine held is freed when it ends, not at the next collection."""

    class Held:
        pass

    async def work(held: Held) -> None:
        await asyncio.sleep(0)

    held = Held()
    reference = weakref.ref(held)
    gc.collect()
    gc.disable()
    try:
        coro = work(held)
        del held
        run_async(coro)
        del coro
        run_async(_where())  # the loop has let go of the first call's last step
        assert reference() is None
        calls = [one for one in gc.get_objects() if isinstance(one, Call)]
        assert len(calls) <= 1
    finally:
        gc.enable()
