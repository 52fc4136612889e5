"""Arrivals replayed through the policy: what tasks would have waited, what it would have cost, whether it would have swung.

The very `decide` that runs on a platform, on a model of workers: first come, first served, a start-up delay, draining as asked.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, exp2

from windrow.queues.model import QueueWorker
from windrow.scaling.choice import choose_victims, choose_withdrawals
from windrow.scaling.policy import decide
from windrow.scaling.reasons import Reason
from windrow.scaling.state import History, Observation, WorkerState

RUN_HALF_LIFE = 20.0
"""Tasks after which an old run time counts half in the simulated mean."""


@dataclass(frozen=True)
class Replay:
    """What came of a replay. Times in seconds."""

    tasks: int
    wait_p50: float
    wait_p95: float
    wait_max: float
    worker_seconds: float
    """Seconds that workers existed, start-up included."""
    busy_part: float
    """Part of the slots' seconds in which a task ran."""
    most_workers: int
    changes: int
    """Decisions that changed the number of workers."""
    oscillations: int
    """Scale-outs within one scaleDownWindow after a scale-in: workers that were given up too soon."""
    reasons: Counter[Reason] = field(repr=False)
    """How many ticks each reason held."""
    replicas: tuple[int, ...] = field(repr=False)
    """What was decided at each tick."""


@dataclass
class _Worker:
    number: int
    serves_from: float
    slots: list[float]
    """When each slot is free again."""
    asked: bool = False

    def seen(self, now: float) -> WorkerState:
        busy = sum(free_at > now for free_at in self.slots)
        state = WorkerState(str(self.number), f"{self.number:06}", len(self.slots), busy, busy, "ready")
        if self.asked:
            return WorkerState(state.id, state.name, state.slots, busy, busy, "asked" if busy else "drained")
        if self.serves_from > now:
            return WorkerState(state.id, state.name, state.slots, 0, 0, "starting")
        return state


class _Queue:
    """One queue, its workers and what has been measured of them."""

    def __init__(self, spec: QueueWorker, run_time: Callable[[], float], start_delay: float) -> None:
        self.spec = spec
        self.run_time = run_time
        self.start_delay = start_delay
        self.arrived: deque[float] = deque()
        self.workers: dict[int, _Worker] = {}
        self.idle: list[tuple[float, int, int]] = []  # (free at, worker, slot): a heap; slots of workers that left stay behind
        self.ends: list[tuple[float, float]] = []  # (ends at, run time): a heap
        self.waits: list[float] = []
        self.mean_run: float | None = None
        self.finished = 0
        self.busy_seconds = 0.0
        self.made = 0

    def run_until(self, now: float) -> None:
        """Start what can start before `now`, oldest first, then measure what has ended by then."""
        while self.arrived and self.idle:
            free_at, number, slot = self.idle[0]
            worker = self.workers.get(number)
            if worker is None or worker.asked:
                heapq.heappop(self.idle)
                continue
            start = max(self.arrived[0], free_at)
            if start >= now:
                break
            took = self.run_time()
            self.waits.append(start - self.arrived.popleft())
            self.busy_seconds += took
            worker.slots[slot] = start + took
            heapq.heapreplace(self.idle, (start + took, number, slot))
            heapq.heappush(self.ends, (start + took, took))
        while self.ends and self.ends[0][0] <= now:
            _, took = heapq.heappop(self.ends)
            self.finished += 1
            weight = 1 - exp2(-1 / RUN_HALF_LIFE)
            self.mean_run = took if self.mean_run is None else self.mean_run + weight * (took - self.mean_run)

    def observe(self, now: float) -> Observation:
        workers = tuple(worker.seen(now) for worker in self.workers.values())
        in_flight = sum(worker.taken for worker in workers)
        return Observation(
            at=now,
            ready=len(self.arrived),
            in_flight=in_flight,
            oldest_age=now - self.arrived[0] if self.arrived else None,
            workers=workers,
            mean_run=self.mean_run,
            finished=self.finished,
        )

    def obey(self, seen: Observation, replicas: int) -> None:
        for worker in seen.workers:
            if worker.state == "drained":
                del self.workers[int(worker.id)]
        back = choose_withdrawals(seen, replicas)
        for id_ in back:
            called_back = self.workers[int(id_)]
            called_back.asked = False
            self._offer(called_back)
        for _ in range(replicas - seen.serving - len(back)):
            self.made += 1
            serves_from = seen.at + self.start_delay
            self.workers[self.made] = _Worker(self.made, serves_from, [serves_from] * self.spec.spec.concurrency)
            self._offer(self.workers[self.made])
        for id_ in choose_victims(seen, replicas):
            self.workers[int(id_)].asked = True

    def _offer(self, worker: _Worker) -> None:
        known = {(number, slot) for _, number, slot in self.idle}
        for slot, free_at in enumerate(worker.slots):
            if (worker.number, slot) not in known:
                heapq.heappush(self.idle, (free_at, worker.number, slot))


def replay(
    spec: QueueWorker,
    arrivals: Sequence[int],
    *,
    step: float,
    run_time: Callable[[], float],
    start_delay: float = 2.0,
    tick: float = 1.0,
) -> Replay:
    """Replay `arrivals`, tasks for each `step` seconds, spread evenly over it, and go on until the queue is done.

    `run_time` is called once for each task; give it a seeded generator's method and the replay is the same every time.
    A decision is made every `tick` seconds; a new worker serves `start_delay` seconds after it was asked for.
    Raises ValueError when a number can't be used.
    """
    if step <= 0 or tick <= 0 or start_delay < 0:
        raise ValueError(f"step and tick must be positive and start_delay not negative, not {step}, {tick} and {start_delay}")
    queue = _Queue(spec, run_time, start_delay)
    due = deque(
        (number + (nth + 0.5) / count) * step for number, count in enumerate(arrivals) for nth in range(count) if count > 0
    )
    end = len(arrivals) * step
    history = History()
    decided: list[int] = []
    reasons: Counter[Reason] = Counter()
    worker_seconds = 0.0
    # Long enough for every window to pass; what isn't done by then never will be (paused, pinned at nought).
    limit = ceil((end * 2 + spec.spec.scaling.scale_down_window * 2 + 3600) / tick)
    for number in range(limit):
        now = number * tick
        while due and due[0] <= now:
            queue.arrived.append(due.popleft())
        queue.run_until(now)
        seen = queue.observe(now)
        decision, history = decide(spec, seen, history)
        queue.obey(seen, decision.replicas)
        decided.append(decision.replicas)
        reasons[decision.reason] += 1
        worker_seconds += len(queue.workers) * tick
        if (
            now >= end
            and not due
            and not queue.arrived
            and not queue.ends
            and len(queue.workers) <= spec.spec.scaling.min_replicas
        ):
            break
    waits = sorted(queue.waits)
    slot_seconds = worker_seconds * spec.spec.concurrency
    return Replay(
        tasks=len(waits),
        wait_p50=_quantile(waits, 0.5),
        wait_p95=_quantile(waits, 0.95),
        wait_max=waits[-1] if waits else 0.0,
        worker_seconds=worker_seconds,
        busy_part=queue.busy_seconds / slot_seconds if slot_seconds else 0.0,
        most_workers=max(decided, default=0),
        changes=sum(before != after for before, after in pairwise(decided)),
        oscillations=_oscillations(decided, tick, spec.spec.scaling.scale_down_window),
        reasons=reasons,
        replicas=tuple(decided),
    )


def _quantile(ordered: Sequence[float], part: float) -> float:
    return ordered[max(0, ceil(part * len(ordered)) - 1)] if ordered else 0.0


def _oscillations(decided: Sequence[int], tick: float, window: float) -> int:
    found = 0
    lowered_at: float | None = None
    for number, (before, after) in enumerate(pairwise(decided), start=1):
        if after < before:
            lowered_at = number * tick
        elif after > before and lowered_at is not None and number * tick - lowered_at <= window:
            found += 1
            lowered_at = None
    return found
