"""Streams of calls, each in a thread of its own, until it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.drill.tasks import app, work


class Producer:
    """Publishes for the drill; a call that is refused, since Redis is away, is let go: nothing was promised."""

    def __init__(self, redis_url: str) -> None:
        from windrow.authoring.install import install

        install(app, redis_url)
        app.set_current()
        self._streams: dict[str, tuple[threading.Event, threading.Thread]] = {}
        self.errors: list[str] = []

    def call(self, task: Any, queue: str, *args: Any) -> str:
        """One call; its task id."""
        return str(task.apply_async(args, queue=queue).id)

    def stream(self, name: str, calls: Callable[[], Iterator[float]]) -> None:
        """Run `calls` in a thread, in place of one of that name: it makes calls, and yields how long (s) it wants to wait."""
        self.stop(name)
        ended = threading.Event()

        def run() -> None:
            for pause in calls():
                if ended.wait(pause):
                    return

        thread = threading.Thread(target=self._guarded(run), name=f"load {name}", daemon=True)
        self._streams[name] = (ended, thread)
        thread.start()

    def steady(self, name: str, queue: str, rate: float, task: Any = work, *args: Any) -> None:
        """A stream of the same call, so many a second."""

        def calls() -> Iterator[float]:
            due = time.monotonic()
            while True:
                self.attempt(task, queue, *args)
                due = max(due + 1 / rate, time.monotonic() - 1)
                yield max(0.0, due - time.monotonic())

        self.stream(name, calls)

    def attempt(self, task: Any, queue: str, *args: Any) -> None:
        """One call, that may be refused."""
        try:
            self.call(task, queue, *args)
        except Exception as error:
            self.errors.append(f"{queue}: {type(error).__name__}: {error}"[:200])
            time.sleep(0.5)

    def stop(self, *names: str) -> None:
        """End these streams; without a name all."""
        ending = [self._streams.pop(name) for name in names or list(self._streams) if name in self._streams]
        for ended, _ in ending:
            ended.set()
        for _, thread in ending:
            thread.join(20)

    def _guarded(self, run: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                run()
            except Exception as error:
                self.errors.append(f"a stream ended with {type(error).__name__}: {error}")
                raise

        return guarded
