"""Windrow's event loop: one for each process, made when it is first used, in a thread of its own.

In a worker with the asyncio pool it is the pool's loop, on the main thread.

It lives as long as the process, so what belongs to a loop (database connections, HTTP sessions) is made once and used by every
task after.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextvars import Context, copy_context
from typing import Any, TypeVar

from windrow.authoring.calls import Call
from windrow.authoring.greenlets import synchronous

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run_async(coro: Coroutine[Any, Any, T]) -> T:
    """Run `coro` on Windrow's loop from any thread and wait for it: its value is returned, its exception raised.

    What interrupts the wait is thrown into the coroutine where it awaits: `SoftTimeLimitExceeded` reaches its `except
    Exception`, its rollback and its `finally`, and run_async returns or raises what the coroutine then does. On the loop's own
    thread, which must not wait, the coroutine gets a thread and a loop of its own.
    """
    if not asyncio.iscoroutine(coro):
        raise TypeError(f"run_async must be given a coroutine, not {coro!r}: call the async function first")
    loop = event_loop()
    here = synchronous()
    if here is not None:
        return here.run_coroutine(coro)
    context = copy_context()
    if on_event_loop():
        return _in_own_thread(coro, context)
    return Call(coro, context).run(loop)


def adopt_event_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Make `loop`, which the caller runs, Windrow's loop of this process; there must be none yet."""
    global _loop
    with _lock:
        if _loop is not None:
            raise RuntimeError("Windrow's event loop must be made once in a process, and it was used before")
        _loop = loop


def event_loop() -> asyncio.AbstractEventLoop:
    """Windrow's loop of this process, running; started if need be."""
    global _loop
    loop = _loop
    if loop is not None:
        return loop
    with _lock:
        if _loop is None:
            loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(loop,), name="windrow-loop", daemon=True).start()
            _loop = loop
        return _loop


def on_event_loop() -> bool:
    """Whether the caller runs on Windrow's loop."""
    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _in_own_thread(coro: Coroutine[Any, Any, T], context: Context) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(context.run(asyncio.run, coro))
        except BaseException as exc:  # noqa: BLE001 - raised again in the waiting thread
            errors.append(exc)

    thread = threading.Thread(target=run, name="windrow-nested-call")
    thread.start()
    thread.join()
    if errors:
        raise errors.pop()
    return results[0]


def _after_fork() -> None:
    # The loop's thread did not come along; what it held belongs to the parent.
    global _lock, _loop
    _lock = threading.Lock()
    _loop = None


os.register_at_fork(after_in_child=_after_fork)
