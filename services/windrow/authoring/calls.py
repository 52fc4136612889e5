"""Coroutines that can be interrupted from outside, and those that a thread waits for while they run on Windrow's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Generic, TypeVar

from windrow.authoring.context import CarriedStacks

T = TypeVar("T")

_cancelling: dict[type[Exception], type[Exception]] = {}


class Interruptible(Coroutine[Any, Any, T], Generic[T]):
    """A coroutine around another one, into which an exception can be thrown from outside at its next await.

    asyncio can only cancel a task, and a cancellation passes by `except Exception`. So this cancels the task that drives it and
    hands the coroutine the exception in the cancellation's place.
    """

    def __init__(self, coro: Coroutine[Any, Any, T]) -> None:
        self._coro = coro
        self._task: asyncio.Task[Any] | None = None
        self._interruption: BaseException | None = None
        self._thrown: BaseException | None = None

    def driven_by(self, task: asyncio.Task[Any] | None) -> None:
        """`task` awaits this from now on; None: no more."""
        self._task = task

    def interrupt(self, exc: BaseException) -> bool:
        """Throw `exc` at the next await, on the loop's thread; an exception that is no `Exception` cancels.

        False when nothing drives the coroutine any more.
        """
        if self._task is None or self._task.done():
            return False
        if isinstance(exc, Exception):
            self._interruption = exc
        self._task.cancel()
        return True

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
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self.send(None)


_waiting: dict[int, Call[Any]] = {}
"""The call that each thread waits for, by the thread's ident."""


def interrupt_call_of(ident: int, kind: type[BaseException], otherwise: Callable[[], None]) -> None:
    """Throw an exception into the coroutine that the thread `ident` waits for; `otherwise()` when it waits for none."""
    call = _waiting.get(ident)
    if call is None:
        otherwise()
    else:
        call.interrupt_from_outside(kind(), otherwise)


class Call(Interruptible[T]):
    """A coroutine that a thread waits for while it runs on another thread's loop."""

    def __init__(self, coro: Coroutine[Any, Any, T], context: Context) -> None:
        super().__init__(coro)
        self._context = context
        self._stacks = CarriedStacks(context)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._value: T | None = None
        self._error: BaseException | None = None
        self._finished = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def run(self, loop: asyncio.AbstractEventLoop) -> T:
        """Run on `loop` (another thread's) and wait; what interrupts the wait is thrown into the coroutine."""
        self._loop = loop
        ident = threading.get_ident()
        try:
            _waiting[ident] = self
            loop.call_soon_threadsafe(self._start, loop)
            self._gate.acquire()
        except BaseException as interruption:
            if self._finished:
                raise
            loop.call_soon_threadsafe(self._interrupt, interruption)
            self._gate.acquire()
            if not isinstance(interruption, Exception):
                raise
        finally:
            _waiting.pop(ident, None)
        try:
            if self._error is not None:
                raise self._error
            return self._value  # type: ignore[return-value]
        finally:
            self._error = None  # an exception that holds its own frames would wait for the garbage collector

    def interrupt_from_outside(self, exc: BaseException, otherwise: Callable[[], None]) -> None:
        """Throw `exc` into the coroutine, from any thread; `otherwise()` if it has ended by then."""
        assert self._loop is not None  # noqa: S101 - it is waited for
        self._loop.call_soon_threadsafe(self._interrupt_or, exc, otherwise)

    # What follows runs on the loop's thread.

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._finished:
            return
        task = loop.create_task(self, context=self._context)
        self.driven_by(task)
        task.add_done_callback(self._finish)

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

    def _interrupt_or(self, exc: BaseException, otherwise: Callable[[], None]) -> None:
        if self._finished:
            otherwise()
        else:
            self._interrupt(exc)

    def _interrupt(self, interruption: BaseException) -> None:
        if self._finished:
            return
        if self._task is None:  # interrupted before the loop heard of it
            self._coro.close()
            self._error = interruption
            self._end()
        else:
            self.interrupt(interruption)


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
