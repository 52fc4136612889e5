"""Why a queue has the number of workers it has: the one list, in status, log and metric alike."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The reason of a scaling decision; each value is a metric's label and stays what it is.

    The member's docstring, kept as `meaning`, is the sentence that documentation and `windrow status` give for it.
    """

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Reason:
        """A member that is its own text and carries its meaning."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    IDLE = "idle", "Nothing is ready, in flight or due soon: no worker is needed."
    COUNTED = "counted", "One slot for each running task and each of the few ready ones."
    WAIT_TARGET = "wait_target", "Many are ready: the slots with which the oldest of them starts within waitTarget."
    NO_HISTORY = "no_history", "No run time was measured yet: one slot for each ready task."
    DUE_SOON = "due_soon", "Nothing is ready or running, but a delayed task is due soon: one worker waits for it."
    PASSING = "passing", "Nothing is held at the moment of reading, but tasks came and went since the last one."
    RATE_LIMITED = "rate_limited", "More are ready than the queue's rate limit lets start: what it holds back is not need."
    BUSY_FLOOR = "busy_floor", "The tasks would fit on fewer workers, but so many are busy."
    STEADY_FLOW = "steady_flow", "With fewer workers, the tasks that keep arriving would fill more than 85 % of their time."
    COOLING_DOWN = "cooling_down", "Fewer would do, but not yet for as long as scaleDownWindow."
    AT_MAX = "at_max", "More are needed than maxReplicas allows."
    AT_MIN = "at_min", "Fewer would do, but minReplicas keeps them."
    PINNED = "pinned", "A person fixed the number of workers; `windrow release` lets the autoscaler have it again."
    PAUSED = "paused", "The queue is paused: only what already runs counts."
    STALE = "stale", "The figures are no newer than the last ones: nothing is taken away on them."
    UNREADABLE_HOLD = "unreadable_hold", "The broker can't be read, which is not the same as empty: the number stays."
    FALLBACK = "fallback", "The broker can't be read and there is no worker: fallbackReplicas run until it can."
