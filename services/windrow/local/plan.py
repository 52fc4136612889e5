"""What to do next for one queue's worker processes: pure, time passed in.

A decision says how many workers a queue shall have; this says which to start, ask, call back and end, so that only workers that
said they drained ever go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from windrow.broker.observe import QueueReading, WorkerInfo
from windrow.scaling import Observation, WorkerState, choose_victims, choose_withdrawals

START_SECONDS = 120.0
"""A worker that has not registered by then, while Redis answers, is ended and counted as crashed."""
LONGEST_BACKOFF = 30.0
"""Seconds; the pause before a start doubles with each crash from 1 s up to this."""
STEADY_SECONDS = 30.0
"""A process that lived so long ends the count of crashes in a row."""


@dataclass(frozen=True)
class Child:
    """A worker process of ours that runs; `number` is its own among those of its queue, from 1, and names its log."""

    pid: int
    number: int
    started: float
    """Seconds on the supervisor's clock."""
    made: float
    """Seconds since 1970."""
    worker: str | None = None
    """Its worker id, once it has registered."""
    stopping: bool = False
    """Whether it was told to end."""


@dataclass(frozen=True)
class Plan:
    """What to do now: how many processes to start, which workers to ask and call back, which processes to end or kill."""

    start: int = 0
    ask: tuple[str, ...] = ()
    withdraw: tuple[str, ...] = ()
    end: tuple[int, ...] = ()
    kill: tuple[int, ...] = ()


@dataclass(frozen=True)
class Crashes:
    """How often in a row a process ended that nobody told to, and when the last one did."""

    count: int = 0
    at: float = 0.0

    def one_more(self, now: float, lived: float) -> Crashes:
        """The count after an end at `now` of a process that lived `lived` seconds."""
        return Crashes(1 if lived >= STEADY_SECONDS else self.count + 1, now)

    @property
    def pause(self) -> float:
        """Seconds between the last crash and the next start."""
        return min(2.0 ** (self.count - 1), LONGEST_BACKOFF) if self.count else 0.0

    def wait(self, now: float) -> float:
        """Seconds to wait from `now` on before another start."""
        return max(0.0, self.at + self.pause - now) if self.count else 0.0


def worker_states(name: str, children: Iterable[Child], reading: QueueReading | None) -> tuple[WorkerState, ...]:
    """The queue's workers as the policy sees them: our processes, those included that have not registered yet.

    Without a reading (the broker is away) a worker counts as serving. Workers that others started are not ours to scale.
    """
    infos = {info.id: info for info in reading.workers} if reading else {}
    return tuple(_state(name, child, infos.get(child.worker or "")) for child in children)


def _state(name: str, child: Child, info: WorkerInfo | None) -> WorkerState:
    label = f"{name}-{child.number:04}"
    if child.stopping:
        return WorkerState(child.worker or f"starting/{child.pid}", label, info.slots if info else 1, 0, 0, "drained")
    if child.worker is None:
        return WorkerState(f"starting/{child.pid}", label, 1, 0, 0, "starting")
    if info is None:
        return WorkerState(child.worker, label, 1, 0, 0, "ready")
    if info.drain == "drained":
        return WorkerState(info.id, label, info.slots, 0, 0, "drained")
    return WorkerState(info.id, label, info.slots, info.busy, info.taken, "asked" if info.drain else "ready")


def registered(children: Iterable[Child], reading: QueueReading, host: str) -> dict[int, str]:
    """The worker ids that processes of ours (on `host`) have registered since the last look, by pid."""
    newest = {info.pid: info for info in sorted(reading.workers, key=lambda info: info.started) if info.host == host}
    return {
        child.pid: newest[child.pid].id
        for child in children
        # A dead worker whose entry is still there may have had the same pid, but not the same beginning.
        if child.worker is None and child.pid in newest and newest[child.pid].started >= child.made - 1.0
    }


def plan(seen: Observation, replicas: int, children: Iterable[Child], now: float) -> Plan:
    """What brings a queue's workers to `replicas`: up at once, down only through workers that said they drained."""
    children = tuple(children)
    ends = {child.worker for child in children if not child.stopping and child.worker}
    drained = {worker.id for worker in seen.workers if worker.state == "drained"} & ends
    withdraw = choose_withdrawals(seen, replicas) if seen.readable else ()
    return Plan(
        start=max(0, replicas - seen.serving - len(withdraw)),
        ask=choose_victims(seen, replicas) if seen.readable else (),
        withdraw=withdraw,
        end=tuple(child.pid for child in children if child.worker in drained),
        kill=tuple(
            child.pid
            for child in children
            if seen.readable and child.worker is None and not child.stopping and now - child.started > START_SECONDS
        ),
    )


def share_starts(wanted: Mapping[str, int], starting: int, most: int) -> dict[str, int]:
    """Which of the wanted starts may happen now: at most `most` processes of the machine start at a time, queues taking turns.

    Thirty interpreters that start at once on two cores start later than thirty in turn, and by the time the first have run a
    task, run times are known and fewer are wanted.
    """
    granted = dict.fromkeys(wanted, 0)
    left = most - starting
    while left > 0 and granted != wanted:
        for queue, count in wanted.items():
            if granted[queue] < count and left > 0:
                granted[queue] += 1
                left -= 1
    return granted
