"""How fast tasks arrive, measured from two readings of a queue: what it holds more, and what was finished meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass

HALF_LIFE = 20.0
"""Seconds after which an old rate counts half."""


@dataclass(frozen=True)
class Flow:
    """The last reading, and the flow up to it."""

    at: float
    held: int
    finished: int
    mean: float | None = None
    """Tasks a second, a decaying mean in which errors of single intervals cancel out; None until two readings were compared."""
    moved: bool = False
    """Whether anything was finished since the reading before."""

    @property
    def rate(self) -> float | None:
        """Arrivals a second of late; None when unknown."""
        return None if self.mean is None else max(0.0, self.mean)


def measured(before: Flow | None, at: float, held: int, finished: int) -> Flow:
    """The flow after one more reading.

    `held` is ready + delayed + in flight; `finished` counts attempts that ended on live workers. Where it fell, a worker has
    left with its count and the interval says nothing; a retry counts as an arrival, which is what it is to the workers.
    Workers report `finished` every other second, so one interval may well come out negative and the next too large.
    """
    if before is None:
        return Flow(at, held, finished)
    if at <= before.at or finished < before.finished:
        return Flow(at, held, finished, before.mean)
    seconds = at - before.at
    rate = (held - before.held + finished - before.finished) / seconds
    moved = finished > before.finished
    if before.mean is None:
        return Flow(at, held, finished, rate, moved)
    weight = 1 - math.exp2(-seconds / HALF_LIFE)
    return Flow(at, held, finished, before.mean + weight * (rate - before.mean), moved)
