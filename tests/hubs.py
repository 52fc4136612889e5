"""Takers of several workers on one event loop, without the workers around them."""

from __future__ import annotations

import heapq
import itertools
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis

from tests.waiting import T
from windrow.broker.inflight import UNKNOWN, Taken
from windrow.broker.keys import Keys
from windrow.broker.taker import Taker


class Hub:
    """What a taker asks of kombu's hub, turned by `run`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self.takers: list[Taker] = []

    def close(self) -> None:
        """Close the connections of all takers on it."""
        for taker in self.takers:
            if taker._wire is not None:
                taker._wire.close()

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever `fd` can be read."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def remove(self, fd: int) -> None:
        """Look at `fd` no more."""
        self._selector.unregister(fd)

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        """Call once."""
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._numbers), callback, args))

    def run(self, condition: Callable[[], T], timeout: float = 5.0, what: str = "") -> T:
        """Turn until `condition()` is true; fails after `timeout` seconds, saying `what`."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            now = time.monotonic()
            assert now < deadline, f"not within {timeout:g} s: {what}"
            while self._timers and self._timers[0][0] <= now:
                _, _, callback, args = heapq.heappop(self._timers)
                callback(*args)
            rest = self._timers[0][0] - time.monotonic() if self._timers else 0.01
            for key, _ in self._selector.select(min(max(rest, 0), 0.01)):
                key.data()
        return value

    def turn(self, seconds: float) -> None:
        """Turn for so long."""
        end = time.monotonic() + seconds
        self.run(lambda: time.monotonic() >= end, seconds + 5)


@dataclass
class Hand:
    """One worker's taker; what it gives out is kept until `finish`."""

    taker: Taker
    connections: list[redis.Connection]
    held: list[Taken] = field(default_factory=list)
    done: list[bytes] = field(default_factory=list)

    def finish(self) -> None:
        """End all that is held."""
        while self.held:
            taken = self.held.pop()
            self.done.append(taken.message)
            self.taker.say("F", taken.tag, "", "", *UNKNOWN)

    def die(self, hub: Hub) -> None:
        """The process is gone between two calls: its connection closes and it never says anything again."""
        hub.run(lambda: self.taker._sent_at is None, what="its last call is answered")  # else that may take what comes now
        wire = self.taker._wire
        assert wire is not None
        hub.remove(wire.fileno())
        self.taker._wire, self.taker._hub = None, Hub()
        wire.close()


def hand(
    hub: Hub, number: int, make: Callable[[int], redis.Connection], *, slots: int = 1, at_once: bool = True, queue: str = "q"
) -> Hand:
    """A worker's taker on `hub`, taking; with `at_once` what it is given ends at once."""
    connections: list[redis.Connection] = []

    def connect(protocol: int) -> redis.Connection:
        connections.append(make(protocol))
        return connections[-1]

    taker = Taker(make_connection=connect, keys=Keys(), worker=f"{queue}/host/{number}/x", queue=queue, info="{}", slots=slots)
    made = Hand(taker, connections)

    def deliver(taken: Taken) -> None:
        made.held.append(taken)
        if at_once:
            hub.call_later(0, made.finish)

    hub.takers.append(taker)
    taker.attach(hub)
    taker.consume(deliver)
    return made
