"""How fast tasks arrive, measured from two readings of a queue: what it holds more, and what was finished meanwhile."""

from __future__ import annotations

import math
from dataclasses import dataclass

HALF_LIFE = 20.0
"""Seconds after which an old rate counts half."""


@dataclass(frozen=True)
class Flow:
    """The last reading, and the arrival rate up to it (tasks a second; None until two readings could be compared)."""

    at: float
    held: int
    finished: int
    rate: float | None = None


def measured(before: Flow | None, at: float, held: int, finished: int) -> Flow:
    """The flow after one more reading.

    `held` is ready + delayed + in flight; `finished` counts attempts that ended on live workers. Where it fell, a worker has
    left with its count and the interval says nothing; a retry counts as an arrival, which is what it is to the workers.
    """
    if before is None or at <= before.at:
        return Flow(at, held, finished, None if before is None else before.rate)
    if finished < before.finished:
        return Flow(at, held, finished, before.rate)
    seconds = at - before.at
    arrived = max(0, held - before.held + finished - before.finished)
    if before.rate is None:
        return Flow(at, held, finished, arrived / seconds)
    weight = 1 - math.exp2(-seconds / HALF_LIFE)
    return Flow(at, held, finished, before.rate + weight * (arrived / seconds - before.rate))
