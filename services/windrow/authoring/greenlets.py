"""Synchronous code around a coroutine, on the loop's own thread.

Celery's tracer (signals, retries, results, the next steps of a canvas) is synchronous. In the asyncio pool it runs in a
greenlet: where the task's body gives it a coroutine, the greenlet gives way to the loop and goes on with the coroutine's
value. What would block the loop (a result to be stored, a message to be published) goes through a thread the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar, copy_context
from typing import Any, TypeVar, cast

from greenlet import getcurrent, greenlet

from windrow.authoring.calls import Interruptible

T = TypeVar("T")

_run: ContextVar[Synchronous | None] = ContextVar("windrow_synchronous", default=None)


class Synchronous(greenlet):
    """Runs `fun` so that it can wait for coroutines; `await run()` runs it to its end."""

    def __init__(self, fun: Callable[[], Any]) -> None:
        super().__init__(fun)
        self._body: Interruptible[Any] | None = None
        self._owed: list[asyncio.Task[Any]] = []

    async def drive(self) -> Any:
        """Run to the end, in the running asyncio task and its context; raises what `fun` raises."""
        token = _run.set(self)
        try:
            self.parent = getcurrent()
            self.gr_context = getcurrent().gr_context
            found = self.switch()
            while not self.dead:
                try:
                    value = await found
                except BaseException as error:  # noqa: BLE001 - raised where it is awaited
                    found = self.throw(type(error), error, error.__traceback__)
                else:
                    found = self.switch(value)
            return found
        finally:
            _run.reset(token)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """From `fun`: the value of what is awaited, while the loop runs on."""
        parent = self.parent
        assert parent is not None  # noqa: S101 - it was started by `drive`
        return cast("T", parent.switch(awaitable))

    def run_coroutine(self, coro: Coroutine[Any, Any, T]) -> T:
        """From `fun`: run the task's coroutine, which `interrupt` may reach; what it owes is done before this returns."""
        body: Interruptible[T] = Interruptible(coro)
        self._body = body
        body.driven_by(asyncio.current_task())
        try:
            return self.wait(body)
        finally:
            body.driven_by(None)
            self._body = None
            self._settle()

    def offload(self, fun: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """From `fun`: run what blocks in a thread, in the same context."""
        return self.wait(asyncio.to_thread(fun, *args, **kwargs))

    def interrupt(self, error: BaseException) -> bool:
        """Throw into the task's coroutine at its await; False when it doesn't run."""
        return self._body is not None and self._body.interrupt(error)

    def owe(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """From the coroutine: have `fun` run in a thread, after what was owed before; the task ends after it."""
        before = self._owed[-1] if self._owed else None
        context = copy_context()

        async def do() -> Any:
            if before is not None:
                await asyncio.wait([before])
            return await asyncio.get_running_loop().run_in_executor(None, lambda: context.run(fun, *args, **kwargs))

        self._owed.append(asyncio.get_running_loop().create_task(do()))

    def _settle(self) -> None:
        owed, self._owed = self._owed, []
        if owed:
            self.wait(asyncio.wait(owed))
            for one in owed:
                error = one.exception()
                if error is not None:
                    raise error


def synchronous() -> Synchronous | None:
    """The greenlet that this code runs in, if it is one that can wait."""
    current = getcurrent()
    return current if isinstance(current, Synchronous) else None


def owner() -> Synchronous | None:
    """The greenlet on whose behalf this coroutine runs on the loop; None in a greenlet, a thread, or elsewhere."""
    run = _run.get()
    if run is None or run.dead or getcurrent() is run:
        return None
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return None
    return run
