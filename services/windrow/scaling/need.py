"""How many workers the tasks themselves ask for, before windows, bounds and people: the arithmetic of docs/scaling.md."""

from __future__ import annotations

import math
from dataclasses import dataclass

from windrow.queues.derive import Derived
from windrow.scaling.reasons import Reason
from windrow.scaling.state import Observation

FEW = 10
"""Up to so many ready tasks are counted one by one."""
SOON = 1.0
"""Seconds: a counted task is a whole slot unless one slot starts several of its kind in this time."""
HEADROOM = 0.85
"""How full the slots may be that were derived from run times and arrivals: those figures are means."""
LEAST_BUDGET = 0.1
"""The part of waitTarget in which overdue tasks should start."""
LEAST_RUN = 0.001
"""Seconds; no task is quicker than its hand-over."""


@dataclass(frozen=True)
class Need:
    """Workers that the tasks ask for, and why so many."""

    replicas: int
    reason: Reason
    sentence: str


def need(derived: Derived, wait_target: float, seen: Observation, *, passing: bool = False) -> Need:
    """The workers a readable, unpaused queue asks for; `wait_target` in seconds. At least one while anything is left to do.

    `passing` says that tasks were finished since the last reading: a queue of quick tasks looks empty nearly every time.
    """
    running = min(seen.in_flight, sum(worker.busy for worker in seen.workers if worker.occupied))
    # Taken ahead is in flight, but waits for a slot as a ready task does: counted as running, it would ask for the very workers
    # that would take ahead again.
    waiting = seen.ready + seen.in_flight - running
    what = f"{seen.ready} ready and {seen.in_flight} in flight"
    if waiting + running == 0:
        if seen.due_soon:
            return Need(1, Reason.DUE_SOON, f"{seen.due_soon} delayed tasks are due soon")
        if passing and seen.serving:
            return Need(1, Reason.PASSING, "nothing is held, but tasks came and went")
        return Need(0, Reason.IDLE, "nothing is ready, in flight or due soon")

    slots, reason, why = _slots(running, waiting, wait_target, seen)
    allowed = _rate_limited_slots(derived, wait_target, seen.mean_run)
    if allowed is not None and slots > max(allowed, running):
        slots, reason = max(allowed, float(running)), Reason.RATE_LIMITED
        why = f"the rate limit of {derived.rate_per_s:g} starts a second keeps {_count(slots)} slots at work"
    replicas = max(1, _ceil(slots / derived.concurrency))
    return Need(replicas, reason, f"{what}: {why}, {_workers(replicas)} at concurrency {derived.concurrency}")


def _slots(running: int, waiting: int, wait_target: float, seen: Observation) -> tuple[float, Reason, str]:
    everything = float(running + waiting)
    if waiting == 0:
        return everything, Reason.COUNTED, f"{_count(everything)} slots"
    if seen.mean_run is None:
        return everything, Reason.NO_HISTORY, f"no run time known yet, so {_count(everything)} slots"
    mean_run = max(seen.mean_run, LEAST_RUN)
    counted = running + min(waiting, FEW) * min(1.0, mean_run / SOON)
    derived = min(everything, derived_slots(waiting, mean_run, wait_target, seen.oldest_age, seen.arrival_rate) / HEADROOM)
    if derived > counted:
        if derived == everything:
            return everything, Reason.COUNTED, f"{_count(everything)} slots"
        within = f"{mean_run:.3g} s each, oldest to start within {wait_target:g} s"
        return derived, Reason.WAIT_TARGET, f"{within}, so {_count(derived)} slots"
    return counted, Reason.COUNTED, f"{_count(counted)} slots"


def derived_slots(
    waiting: int, mean_run: float, wait_target: float, oldest_age: float | None, arrival_rate: float | None
) -> float:
    """Slots with which every waiting task starts in time and the queue does not grow, without headroom; times in seconds.

    What waits has to be started within what is left of `wait_target` after the oldest task's age: for a burst that no worker
    served yet this is exact, for a steady stream it errs towards more. Arrivals need `arrival_rate` × `mean_run` slots for
    themselves, by Little's law; they come behind what waits, so the larger of the two is enough.
    """
    budget = max(wait_target - (oldest_age or 0.0), LEAST_BUDGET * wait_target)
    return max(waiting * mean_run / budget, (arrival_rate or 0.0) * mean_run)


def flow_replicas(concurrency: int, seen: Observation) -> int:
    """Workers that the present arrivals keep 85 % busy; 0 when a figure is unknown."""
    if seen.mean_run is None or seen.arrival_rate is None:
        return 0
    return _ceil(seen.arrival_rate * seen.mean_run / HEADROOM / concurrency)


def _rate_limited_slots(derived: Derived, wait_target: float, mean_run: float | None) -> float | None:
    """Slots that the queue's rate limit can keep at work; None without one."""
    if derived.rate_per_s is None:
        return None
    return derived.rate_burst + derived.rate_per_s * max(SOON, wait_target if mean_run is None else mean_run)


def _ceil(value: float) -> int:
    """The next whole number; what floating point adds in the ninth place starts no worker."""
    return math.ceil(value - 1e-9)


def _count(slots: float) -> str:
    return f"{slots:.0f}" if slots == int(slots) else f"{slots:.1f}"


def _workers(count: int) -> str:
    return f"{count} worker" if count == 1 else f"{count} workers"
