"""Whether a worker is alive and ready: what it notes of itself in memory that its processes share, and what follows from that.

Readiness says whether a worker is there to take work: not before its pool has started, not once it stops, not while it has
drained. It does not depend on Redis, nor on being busy. Liveness fails only for a worker that a restart would help.
"""

from __future__ import annotations

import logging
import mmap
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

logger = logging.getLogger(__name__)

TURN_SECONDS: Final = 1.0
"""How often a worker notes that its event loop turns."""
STALE_SECONDS: Final = 60.0
"""A loop that has not turned for so long, though Redis answered all the time, will not turn again by itself. Celery pauses up
to 30 s between its tries to connect and the loop stands meanwhile, so less would restart workers after an outage."""

_STARTED, _DRAINED = 8, 9


class Vitals:
    """Notes in anonymous memory: make it before any process is forked. A worker's next process goes on with them."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._turned = memoryview(self._memory)[:8].cast("d")

    def turn(self) -> None:
        """The event loop turns, or a new one is about to."""
        self._turned[0] = time.monotonic()

    @property
    def last_turn(self) -> float | None:
        """When the event loop last turned (monotonic seconds); None before."""
        return self._turned[0] or None

    def start(self) -> None:
        """The pool has started: only Redis is needed now to take tasks."""
        self._memory[_STARTED] = 1

    @property
    def started(self) -> bool:
        """Whether the pool has started once."""
        return self._memory[_STARTED] == 1

    def drain(self, drained: bool) -> None:
        """Redis has the word of this worker that it drained, or has it no more."""
        self._memory[_DRAINED] = drained

    @property
    def drained(self) -> bool:
        """Whether this worker was asked to drain and has said that it did."""
        return self._memory[_DRAINED] == 1


@dataclass(frozen=True)
class Probes:
    """Answers to who asks about a worker; each is None, or one sentence why not."""

    vitals: Vitals
    stopping: Callable[[], bool]
    answered_since: Callable[[], float | None]
    """Since when Redis has answered each beat (monotonic seconds); None while it does not."""
    at_work: Callable[[], bool] = lambda: False
    """Whether a task runs that may hold the event loop until its hard limit."""
    told: list[float] = field(default_factory=list)
    """The standstill that the log was told of."""

    def not_ready(self) -> str | None:
        """Why this worker is not there to take work."""
        if self.stopping():
            return "the worker is stopping"
        if not self.vitals.started:
            return "the worker is starting"
        return "the worker has drained, as it was asked" if self.vitals.drained else None

    def not_alive(self) -> str | None:
        """Why a restart would help this worker. A stopping one is left to its termination grace."""
        if self.stopping() or self.at_work():
            return None
        still = standstill(time.monotonic(), self.vitals.last_turn, self.answered_since())
        if still <= STALE_SECONDS:
            self.told.clear()
            return None
        if not self.told:
            self.told.append(still)
            logger.error("the event loop has stood still for %.0f s; this process is here:\n%s", still, where_it_is())
        return f"the worker's event loop has stood still for {still:.0f} s, though Redis answers"


def standstill(now: float, last_turn: float | None, answered_since: float | None) -> float:
    """For how many seconds a loop has stood still that nothing kept from turning: a Redis that is away does. Pure."""
    if last_turn is None or answered_since is None:
        return 0.0
    return max(now - max(last_turn, answered_since), 0.0)


def where_it_is() -> str:
    """The main thread's stack, for whoever reads the log of a worker that was restarted."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    return "".join(traceback.format_stack(frame)) if frame is not None else "the main thread has no stack"
