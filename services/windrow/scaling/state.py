"""What a decision is made from and what it says. Times are seconds on one clock; None means unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from windrow.scaling.flow import Flow
from windrow.scaling.reasons import Reason

WorkerStage = Literal["starting", "ready", "asked", "drained", "gone"]
"""`starting`: asked for, not yet taking; `ready`: takes tasks; `asked`: to drain, takes nothing new; `drained`: has said that
nothing is in flight there; `gone`: has ended or was declared dead."""


@dataclass(frozen=True)
class WorkerState:
    """One worker as it was last seen. `taken` counts what is in flight there, `busy` the slots that run some of it."""

    id: str
    name: str
    slots: int
    busy: int
    taken: int
    state: WorkerStage

    @property
    def serving(self) -> bool:
        """Whether it takes tasks, or will as soon as it has started."""
        return self.state in ("starting", "ready")

    @property
    def occupied(self) -> bool:
        """Whether anything is in flight there that only this worker can finish."""
        return self.state in ("starting", "ready", "asked") and (self.busy > 0 or self.taken > 0)


@dataclass(frozen=True)
class Observation:
    """A queue and its workers at one moment."""

    at: float
    """When it was read. The same time twice is the same reading twice."""
    readable: bool = True
    """False when the broker did not answer: then every other figure says nothing."""
    ready: int = 0
    delayed: int = 0
    due_soon: int = 0
    in_flight: int = 0
    oldest_age: float | None = None
    oldest_is_lower_bound: bool = False
    workers: tuple[WorkerState, ...] = ()
    """Every worker of the queue, also those that were only just started: what is left out here is started again."""
    mean_run: float | None = None
    """Mean run time of late."""
    arrival_rate: float | None = None
    """Tasks accepted a second of late; measured from `finished` when left out."""
    finished: int | None = None
    """Attempts that ended on the workers that live now, since each of them started."""
    paused: bool = False
    pinned: int | None = None

    @property
    def serving(self) -> int:
        """How many workers take tasks or will soon."""
        return sum(worker.serving for worker in self.workers)


@dataclass(frozen=True)
class History:
    """What the next decision needs to know of the past; a new one comes with each decision."""

    at: float | None = None
    """When the last readable observation was made."""
    since: float | None = None
    """From when on the broker was readable without a gap: before that, nobody knows what was needed."""
    needs: tuple[tuple[float, int], ...] = ()
    """Times and needs within the window, the highest first; one that a later, higher need covers is dropped."""
    replicas: int | None = None
    """What was decided last."""
    mean_run: float | None = None
    """The last mean run time: it outlives the workers that measured it, so the next burst is not met with ignorance."""
    flow: Flow | None = None
    """The arrivals so far."""
    pinned: int | None = None
    paused: bool = False


@dataclass(frozen=True)
class Decision:
    """How many workers the queue shall have, and why."""

    replicas: int
    reason: Reason
    sentence: str
