"""Streams of calls, each in a thread of its own, until it is stopped."""

from __future__ import annotations

import random
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

    def call(self, task: Any, queue: str, *args: Any) -> None:
        """One call."""
        task.apply_async(args, queue=queue)

    def stream(self, name: str, calls: Callable[[], Iterator[float]]) -> None:
        """Run `calls` in a thread: it makes calls, and yields the seconds until it wants to go on. Replaces one of that name."""
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


def bursts(producer: Producer, queue: str, dice: random.Random) -> Iterator[float]:
    """Some dozen calls at once, then nothing until all workers have gone."""
    while True:
        for _ in range(dice.randint(20, 60)):
            producer.attempt(work, queue, dice.choice((0.0, 0.01, 0.05, 0.1)))
        yield dice.uniform(25, 50)
