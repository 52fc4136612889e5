"""One coroutine that a thread waits for while it runs on Windrow's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, TypeVar

from windrow.authoring.context import CarriedStacks

T = TypeVar("T")

_cancelling: dict[type[Exception], type[Exception]] = {}


class Call(Coroutine[Any, Any, T], Generic[T]):
    """A coroutine around another one, into which an exception can be thrown from outside at its next await.

    asyncio can only cancel a task, and a cancellation passes by `except Exception`. So the call cancels its own task and hands
    the coroutine the exception in the cancellation's place.
    """

    def __init__(self, coro: Coroutine[Any, Any, T], context: Context) -> None:
        self._coro = coro
        self._context = context
        self._stacks = CarriedStacks(context)
        self._task: asyncio.Task[T] | None = None
        self._interruption: BaseException | None = None
        self._thrown: BaseException | None = None
        self._value: T | None = None
        self._error: BaseException | None = None
        self._finished = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def run(self, loop: asyncio.AbstractEventLoop) -> T:
        """Run on `loop` (another thread's) and wait; what interrupts the wait is thrown into the coroutine."""
        try:
            loop.call_soon_threadsafe(self._start, loop)
            self._gate.acquire()
        except BaseException as interruption:
            if self._finished:
                raise
            loop.call_soon_threadsafe(self._interrupt, interruption)
            self._gate.acquire()
            if not isinstance(interruption, Exception):
                raise
        try:
            if self._error is not None:
                raise self._error
            return self._value  # type: ignore[return-value]
        finally:
            self._error = None  # an exception that holds its own frames would wait for the garbage collector

    # What follows runs on the loop's thread.

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self, context=self._context)
        self._task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self._error = asyncio.CancelledError()
        else:
            self._error = task.exception()
            if self._error is None:
                self._value = task.result()
        self._end()

    def _end(self) -> None:
        self._stacks.drop()
        self._task = self._thrown = None  # they hold this call, which would wait for the garbage collector
        self._finished = True
        self._gate.release()

    def _interrupt(self, interruption: BaseException) -> None:
        if self._finished:
            return
        if self._task is None:  # interrupted before the loop heard of it
            self._coro.close()
            self._error = interruption
            self._end()
        elif not self._task.done():
            if isinstance(interruption, Exception):
                self._interruption = interruption
            self._task.cancel()

    def _take_interruption(self) -> BaseException:
        assert self._interruption is not None and self._task is not None  # noqa: S101, PT018 - its task runs this step
        self._thrown = _as_cancellation(self._interruption)
        self._interruption = None
        self._task.uncancel()
        return self._thrown

    # The coroutine protocol, which the task drives.

    def send(self, value: Any) -> Any:
        """One step; an interruption goes first (the awaited future may have swallowed the cancellation)."""
        if self._interruption is not None:
            return self._step(self._coro.throw, self._take_interruption())
        return self._step(self._coro.send, value)

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        """One step that raises at the await; an interruption takes the place of the cancellation."""
        if self._interruption is not None:
            return self._step(self._coro.throw, self._take_interruption())
        return self._step(self._coro.throw, typ if val is None else val)

    def _step(self, step: Callable[[Any], Any], value: Any) -> Any:
        try:
            return step(value)
        except asyncio.CancelledError as exc:
            if exc is not self._thrown:
                raise
            thrown = exc
        # The coroutine let it through: outside, it is what it was before.
        plain = _anew(type(thrown).__bases__[0], thrown)
        plain.__context__, plain.__cause__ = thrown.__context__, thrown.__cause__
        raise plain.with_traceback(thrown.__traceback__)

    def close(self) -> None:
        """End the coroutine where it stands."""
        self._coro.close()

    def __await__(self) -> Any:
        return self._coro.__await__()


def _as_cancellation(exc: BaseException) -> BaseException:
    """The same exception, which asyncio takes for a cancellation as well.

    Task groups, timeouts and libraries end what they have started only when they are cancelled; thrown as it is, a time limit
    would leave their tasks running.
    """
    assert isinstance(exc, Exception)  # noqa: S101 - others cancel
    kind = type(exc)
    both = _cancelling.get(kind)
    if both is None:
        both = _cancelling[kind] = type(kind.__name__, (kind, asyncio.CancelledError), {"__module__": kind.__module__})
    return _anew(both, exc)


def _anew(kind: type[BaseException], exc: BaseException) -> BaseException:
    """A new exception of `kind` with the other's arguments and attributes, without its traceback."""
    made = kind.__new__(kind, *exc.args)
    made.args = exc.args
    made.__dict__.update(exc.__dict__)
    return made
