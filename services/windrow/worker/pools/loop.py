"""One thread for kombu's hub and asyncio: while the hub waits, the asyncio loop runs.

Celery's worker polls kombu's hub (remote control, timers). In the asyncio pool the hub's poller runs the asyncio loop until
one of the hub's files is ready or its time is over; the worker's own conversation with Redis lives on the asyncio loop itself,
so that a task's way from Redis to its coroutine and back crosses no thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class LoopPoller:
    """kombu's poller, which runs an asyncio loop while it waits."""

    def __init__(self, poller: Any, loop: asyncio.AbstractEventLoop) -> None:
        """`poller` is kombu's own, on epoll; on other systems kombu's files are looked at ten times a second."""
        self._poller, self._loop = poller, loop
        inner = getattr(poller, "_epoll", None) or getattr(poller, "_kqueue", None)
        self._descriptor: int | None = inner.fileno() if inner is not None else None
        if self._descriptor is not None:
            loop.add_reader(self._descriptor, loop.stop)

    def register(self, *args: Any) -> Any:
        """As kombu's."""
        return self._poller.register(*args)

    def unregister(self, *args: Any) -> Any:
        """As kombu's."""
        return self._poller.unregister(*args)

    def poll(self, timeout: float | None) -> Any:
        """The hub's events after at most `timeout` seconds; coroutines run meanwhile."""
        loop = self._loop
        if self._descriptor is None:
            timeout = min(timeout or 0.1, 0.1)
        alarm = loop.call_later(timeout, loop.stop) if timeout is not None else None
        loop.run_forever()
        if alarm is not None:
            alarm.cancel()
        return self._poller.poll(0)

    def close(self) -> None:
        """Leave the loop alone."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
        self._poller.close()


class LoopHub:
    """What the worker uses of kombu's hub, on an asyncio loop; `close` takes back all that was asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: set[int] = set()
        self._closed = False

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever `fd` can be read."""
        self._readers.add(fd)
        self._loop.add_reader(fd, callback)

    def remove(self, fd: int) -> None:
        """Look at `fd` no more."""
        self._readers.discard(fd)
        self._loop.remove_reader(fd)

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        """Call once, `delay` seconds from now."""
        self._loop.call_later(delay, self._call, callback, args)

    def call_repeatedly(self, delay: float, callback: Callable[[], None]) -> None:
        """Call every `delay` seconds until `close`."""

        def again() -> None:
            if not self._closed:
                self._loop.call_later(delay, again)
                callback()

        self._loop.call_later(delay, again)

    def close(self) -> None:
        """The worker connects anew, with another hub."""
        self._closed = True
        for fd in self._readers:
            self._loop.remove_reader(fd)
        self._readers.clear()

    def _call(self, callback: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not self._closed:
            callback(*args)
