"""A plane in memory for the properties of sizing. One step is one second.

A ReplicaSet with Kubernetes' own order of victims, workers that drain as ours do, views that lag, and an operator that can be
killed between any two of its writes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.unit.operator_cases import UNSCHEDULABLE
from windrow.broker.observe import QueueReading, WorkerInfo
from windrow.queues import QueueWorker
from windrow_operator.names import DELETION_COST
from windrow_operator.sizing import Memory, Sizing, size
from windrow_operator.state import DeploymentState, PodState

START = 1_000_000.0


@dataclass
class Pod:
    """One pod and its worker; tasks are the times at which they end."""

    number: int
    created: float
    starts: float
    """Seconds from being scheduled to being ready; more than all that is late here, or a pod that is given up since it does not
    come up could be at work when it goes."""
    scheduled: float | None = None
    terminating: float | None = None
    cost: str | None = None
    registered: bool = False
    drain: str | None = None
    was_drained: bool = False
    """Readiness follows the drain by one step."""
    tasks: list[float] = field(default_factory=list)
    told: int = 0
    """What its last beat said."""

    @property
    def name(self) -> str:
        return f"q-{self.number:04}"

    @property
    def ready(self) -> bool:
        return self.registered and self.drain != "drained" and not self.was_drained

    def seen(self) -> PodState:
        pending = self.scheduled is None or not self.registered
        return PodState(
            name=self.name,
            uid=self.name,
            created=self.created,
            phase="Pending" if pending else "Running",
            scheduled=self.scheduled is not None,
            ready=self.ready,
            terminating=self.terminating is not None,
            template_hash="one",
            drained_cost=self.cost is not None,
            protected=False,
            trouble=UNSCHEDULABLE if self.scheduled is None else None,
        )

    def rank(self) -> tuple[object, ...]:
        """As `ActivePodsWithRanks` sorts: unassigned, pending, not ready, cost, ready for less long, created later."""
        seen = self.seen()
        return (seen.scheduled, seen.phase == "Running", seen.ready, int(self.cost or 0), -self.created, -self.number)


class Plane:
    """All of it; `dice` decides what a run of the real thing leaves to chance."""

    def __init__(self, spec: QueueWorker, dice: random.Random, *, lag: int, room: int) -> None:
        """`lag` is how many steps the operator's view of pods is late; `room` how many pods find a node."""
        self.spec, self.dice, self.lag, self.room = spec, dice, lag, room
        self.now = START
        self.pods: list[Pod] = []
        self.ready: list[float] = []
        """How long each waiting task will run."""
        self.replicas = 0
        self.memory = Memory()
        self.readable = True
        self.busy_removed: list[str] = []
        self.too_low: list[str] = []
        self.wrong: list[str] = []
        self.numbers: list[int] = [0]
        self._made = 0
        self._views: list[list[PodState]] = []
        self._specs: list[int] = [0]

    @property
    def active(self) -> list[Pod]:
        return [pod for pod in self.pods if pod.terminating is None]

    @property
    def in_flight(self) -> int:
        return sum(len(pod.tasks) for pod in self.pods)

    def step(self, arrivals: list[float], *, killed: bool = False) -> None:
        """A second passes; `killed` ends the operator in the middle of its writes, and another one begins next time."""
        self.now += 1
        self.ready += arrivals
        self._work()
        if self.dice.random() < 0.8:
            self._replicaset()
        self._kubelet()
        self._operate(killed)
        self._views.append([pod.seen() for pod in self.pods])
        self._specs.append(self.replicas)

    def _work(self) -> None:
        slots = self.spec.spec.concurrency
        for pod in self.pods:
            pod.tasks = [end for end in pod.tasks if end > self.now]
            if pod.drain == "asked" and not pod.tasks:
                pod.drain = "drained"
            while pod.ready and pod.terminating is None and pod.drain is None and self.ready and len(pod.tasks) < slots:
                pod.tasks.append(self.now + self.ready.pop(0))
        for pod in self.pods:
            if self.dice.random() < 0.7:
                pod.told = len(pod.tasks)

    def _replicaset(self) -> None:
        # It may have seen the newest number or the one before.
        wanted = self._specs[-self.dice.choice((1, 1, 2))] if len(self._specs) > 1 else self._specs[-1]
        active = self.active
        for pod in sorted(active, key=Pod.rank)[: max(0, len(active) - wanted)]:
            pod.terminating = self.now
            if pod.tasks:
                self.busy_removed.append(f"{pod.name} at {self.now - START:.0f}")
        for _ in range(wanted - len(active)):
            self.pods.append(Pod(self._made, self.now, self.dice.randint(6, 10)))
            self._made += 1

    def _kubelet(self) -> None:
        for pod in self.pods:
            if pod.scheduled is None and sum(one.scheduled is not None for one in self.pods) < self.room:
                pod.scheduled = self.now
            if pod.scheduled is not None and self.now >= pod.scheduled + pod.starts:
                pod.registered = True
            pod.was_drained = pod.drain == "drained"
        self.pods = [pod for pod in self.pods if pod.terminating is None or pod.tasks or self.now < pod.terminating + 2]

    def _operate(self, killed: bool) -> None:
        view = self._views[-1 - self.lag] if len(self._views) > self.lag else []
        exists = len(self.active)
        has = DeploymentState("uid", 1, 1, self.replicas, exists, exists)
        sizing = size(self.spec, has, view, self._reading() if self.readable else None, self.memory, self.now)
        self.memory = Memory() if killed else sizing.memory
        self.wrong += sizing.wrong_victims
        writes = self._writes(sizing)
        self.dice.shuffle(writes)
        for name, value in writes[: self.dice.randint(0, len(writes))] if killed else writes:
            self._write(name, value)

    def _writes(self, sizing: Sizing) -> list[tuple[str, object]]:
        made: list[tuple[str, object]] = [("ask", one) for one in sizing.ask] + [("withdraw", one) for one in sizing.withdraw]
        made += [("mark", (name, notes[DELETION_COST])) for name, notes in sizing.annotations.items()]
        if sizing.replicas != self.replicas:
            made.append(("replicas", sizing.replicas))
        return made

    def _write(self, what: str, value: object) -> None:
        if what == "replicas":
            assert isinstance(value, int)
            busy = sum(bool(pod.tasks) for pod in self.active)
            if value < min(busy, self.replicas):
                self.too_low.append(f"{value} with {busy} busy at {self.now - START:.0f}")
            self.replicas = value
            self.numbers.append(value)
        for pod in self.pods:
            if what == "ask" and value == pod.name and pod.drain is None:
                pod.drain = "asked"
            elif what == "withdraw" and value == pod.name:
                pod.drain = None
            elif what == "mark" and isinstance(value, tuple) and value[0] == pod.name:
                pod.cost = value[1]

    def _reading(self) -> QueueReading:
        workers = tuple(
            WorkerInfo(
                pod.name,
                "q",
                "q",
                pod.name,
                1,
                self.spec.spec.concurrency,
                None,
                pod.created,
                pod.told,
                pod.told,
                0,
                1.0,
                pod.drain,
            )
            for pod in self.pods
            if pod.registered
        )
        waiting = len(self.ready)
        return QueueReading("q", self.now, waiting, 0, 0, self.in_flight, None, False, False, None, workers, None, 0)
