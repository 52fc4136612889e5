"""The fence: until when a worker may believe that it is alive, in memory that all its processes share.

A worker that can't renew its lease must have ended before the leader gives its tasks to others. Its lease keeper writes the
deadline here; who runs tasks looks at it before a body starts and before its end has any consequence (result, retry, next
step), and the warden ends all processes when it has passed. Times are seconds of `now()`: a clock that also runs while the
machine sleeps.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import time

logger = logging.getLogger(__name__)

FENCED = 70
"""The exit code of a process whose lease had ended."""

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Seconds on the fence's clock."""
    return time.clock_gettime(_CLOCK)


class Fence:
    """The deadline, in anonymous memory: make it before any process is forked."""

    def __init__(self) -> None:
        self._deadline = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("d")
        self._deadline[0] = math.inf

    @property
    def deadline(self) -> float:
        """When the lease ends, in seconds of `now()`; infinity while nobody counts this worker's silence."""
        return self._deadline[0]

    def extend(self, deadline: float) -> None:
        """The lease holds until `deadline`, or longer if it already does."""
        if deadline > self._deadline[0] or math.isinf(self._deadline[0]):
            self._deadline[0] = deadline

    def lift(self) -> None:
        """Nobody counts this worker's silence: there is no leader."""
        self._deadline[0] = math.inf

    @property
    def passed(self) -> bool:
        """Whether the lease has ended."""
        return now() >= self._deadline[0]


_fence: Fence | None = None


def stand_behind(fence: Fence) -> None:
    """What runs in this process, and in those that it forks, belongs to a worker with this fence."""
    global _fence
    _fence = fence


def pass_or_end() -> None:
    """Return if the worker's lease holds, or if this is no worker; else end the process here, before anything is told.

    Everything that runs in the process is the same worker's, and others may have begun it again.
    """
    if _fence is not None and _fence.passed:
        logger.error("the worker's lease has ended: what runs here is given to others, and its end is not told")
        os._exit(FENCED)
