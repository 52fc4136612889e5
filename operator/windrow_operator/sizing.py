"""From a queue's reading, pods and Deployment to what to do now: pure, time passed in.

The policy says how many workers shall serve; this says what spec.replicas is, who is asked to drain or called back, and which
pods are marked. A ReplicaSet chooses for itself whom it deletes, so spec.replicas goes down only by pods that said they
drained, are not ready any more and carry a low deletion cost, and only while no other pod stands before them in its order.

All that matters can be read again: requests to drain are in Redis, marks on the pods, the number on the Deployment. Who has
forgotten the rest is more careful for some seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from windrow.broker.observe import QueueReading
from windrow.queues import QueueWorker
from windrow.scaling import Decision, History, Observation, Reason, choose_victims, choose_withdrawals, decide
from windrow_operator.crew import SLOW_SECONDS, Crew, muster, observation
from windrow_operator.marks import marks
from windrow_operator.state import DeploymentState, PodState

SETTLE_SECONDS = 5.0
"""So long after its ReplicaSet last had pods to delete, a marked pod is not called back: it may be chosen already."""


class Hold(StrEnum):
    """Why a decision is not followed yet."""

    ROLLING = "rolling"
    PENDING = "pending"
    TROUBLE = "trouble"
    OWED = "owed"
    STALE = "stale"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Held:
    """What keeps the number of pods from following the decision, in one sentence."""

    reason: Hold
    sentence: str


@dataclass(frozen=True)
class Memory:
    """What the next look wants to know of this one."""

    history: History = field(default_factory=History)
    serving: frozenset[str] = frozenset()
    """Pods whose workers served, by name."""
    owed: int = 0
    """Pods that the ReplicaSet was to delete after this."""
    lowered: float | None = None
    """When it last had some to delete, or when the first look was."""
    short: float | None = None
    """Since when pods have been missing that the ReplicaSet should have created; None when none is."""
    idle: Mapping[str, float] = field(default_factory=dict)
    """Since when each protected pod has been idle."""


@dataclass(frozen=True)
class Sizing:
    """What to do for one QueueWorker now."""

    decision: Decision
    replicas: int
    """What spec.replicas of its Deployment shall be."""
    memory: Memory
    ask: tuple[str, ...] = ()
    """Ids of workers to ask to drain."""
    withdraw: tuple[str, ...] = ()
    """Ids of workers whose request to drain is taken back."""
    annotations: Mapping[str, dict[str, str | None]] = field(default_factory=dict)
    """By pod, what to set; None removes."""
    wrong_victims: tuple[str, ...] = ()
    """Pods that the ReplicaSet gave up though their workers served."""
    held: Held | None = None


def size(
    spec: QueueWorker,
    deployment: DeploymentState | None,
    pods: Iterable[PodState],
    reading: QueueReading | None,
    memory: Memory,
    now: float,
) -> Sizing:
    """What brings a QueueWorker's pods to what its queue needs; `now` in seconds since 1970.

    A `reading` of None says that Redis can't be read, which is not the same as empty.
    """
    everyone = {pod.name: pod for pod in pods}
    crew = muster(deployment, everyone.values(), reading)
    seen = observation(crew, reading, now)
    stale = reading is not None and reading.at == memory.history.at
    decision, history = decide(spec, seen, memory.history)
    lowered = now if crew.owed or memory.lowered is None else memory.lowered
    short = (memory.short if memory.short is not None else now) if crew.missing else None
    withdraw = _withdrawals(crew, seen, decision.replicas, now, callable_back=now - lowered >= SETTLE_SECONDS)

    on_their_way = sum(worker.state in ("asked", "drained") for worker in seen.workers) - len(withdraw)
    target = decision.replicas + max(0, on_their_way - crew.owed)
    ask: tuple[str, ...] = ()
    held = None
    if deployment is None:
        replicas = target
    elif target > deployment.replicas:
        held = _no_more(crew, deployment, decision)
        replicas = deployment.replicas if held else target
    elif deployment.replicas == 0 or withdraw or (decision.replicas >= seen.serving and not on_their_way):
        replicas = deployment.replicas
    else:
        down = _Down(crew, deployment, seen, decision.replicas, now, short, stale)
        replicas, ask, held = down.step()
        if held is None and not ask and replicas == deployment.replicas:
            ask, withdraw = _swapped(crew)

    owed = max(0, len(crew.members) - replicas)
    annotations, idle = marks(spec, crew, withdraw, memory.idle, now) if reading else ({}, {})
    return Sizing(
        decision=decision,
        replicas=replicas,
        memory=Memory(
            history=history,
            serving=_serving(crew, memory, reading),
            owed=owed,
            lowered=now if owed else lowered,
            short=short,
            idle=idle,
        ),
        ask=ask,
        withdraw=withdraw,
        annotations=annotations,
        wrong_victims=_wrong_victims(memory, replicas, everyone, reading),
        held=held,
    )


def _withdrawals(crew: Crew, seen: Observation, replicas: int, now: float, *, callable_back: bool) -> tuple[str, ...]:
    """Whom to call back before any new pod: first who was asked, then who drained and is surely not being deleted.

    A pod that does not come up is no reason to let others go.
    """
    if not seen.readable:
        return ()
    stuck = {member.pod.name for member in crew.members if member.stuck(now)}
    serving = replace(seen, workers=tuple(worker for worker in seen.workers if worker.name not in stuck))
    asked = choose_withdrawals(serving, replicas)
    missing = replicas - serving.serving - len(asked)
    if missing <= 0 or crew.owed:
        return asked
    drained = sorted(
        (member for member in crew.members if member.drained and (callable_back or not member.pod.drained_cost)),
        key=lambda member: (member.pod.drained_cost, member.pod.name),
    )
    return asked + tuple(member.worker.id for member in drained[:missing] if member.worker)


def _swapped(crew: Crew) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Idle workers to ask in place of busy ones that were asked: who took a task in that moment may hold it for an hour."""
    idle = [member.worker.id for member in crew.members if member.worker and member.pod.ready and member.idle]
    busy = [member.worker.id for member in crew.asked if member.worker and member.busy]
    count = min(len(idle), len(busy))
    return tuple(idle[-count:] if count else ()), tuple(busy[:count])


def _no_more(crew: Crew, deployment: DeploymentState, decision: Decision) -> Held | None:
    """Why more pods would be no answer; None when they are, or when a person wants them."""
    if deployment.replicas == 0 or decision.reason is Reason.PINNED:
        return None
    bad = crew.troubled()
    if bad is not None and bad.pod.trouble is not None:
        trouble = bad.pod.trouble
        return Held(
            Hold.TROUBLE,
            f"{decision.replicas} workers are needed, and no more pods are asked for while pod {bad.pod.name} does not come up"
            f" ({trouble.reason}: {trouble.message})",
        )
    if deployment.trouble is not None:
        trouble = deployment.trouble
        return Held(
            Hold.TROUBLE,
            f"{decision.replicas} workers are needed, and no more pods are asked for while those there should be are not made"
            f" ({trouble.reason}: {trouble.message})",
        )
    if crew.rolling:
        return Held(Hold.ROLLING, f"{decision.replicas} workers are needed, and no more pods are asked for during a rollout")
    return None


@dataclass(frozen=True)
class _Down:
    """One step down, or the reason why there is none."""

    crew: Crew
    deployment: DeploymentState
    seen: Observation
    wanted: int
    now: float
    short: float | None
    stale: bool

    def step(self) -> tuple[int, tuple[str, ...], Held | None]:
        """spec.replicas, whom to ask to drain, and what holds the step back."""
        crew, same = self.crew, self.deployment.replicas
        if not self.seen.readable:
            return same, (), Held(Hold.UNREADABLE, "no worker is taken away while Redis can't be read")
        if self.stale:
            return same, (), Held(Hold.STALE, "no worker is taken away on figures no newer than the last")
        if self.deployment.exists > len(crew.members):  # its status knows of pods that were not seen yet, or that are just gone
            return same, (), None
        ask = choose_victims(self.seen, self.wanted)
        if self._nothing_left:
            # A pod that starts may be at work in a moment; a ready one whose worker is not known is: Redis may have lost it.
            if self._created and all(member.drained or member.stuck(self.now) for member in crew.members):
                return 0, (), None
            return same, ask, None
        if crew.rolling:
            return same, (), Held(Hold.ROLLING, "no worker is taken away during a rollout")
        if crew.owed > len(crew.leaving):
            return same, (), Held(Hold.OWED, "no worker is taken away while pods are deleted that have not drained")
        unsure = crew.unsure
        if unsure or crew.missing:
            lower = self._without_stuck()
            if lower < same:
                return lower, (), None
            waits = f"pod {unsure[0].pod.name} is" if unsure else f"{crew.missing} pods are yet to be created that are"
            return same, (), Held(Hold.PENDING, f"no worker is taken away while {waits} not ready")
        if crew.owed or self.deployment.observed_generation < self.deployment.generation:
            return same, ask, None
        return same - sum(member.confirmed for member in crew.members), ask, None

    @property
    def _nothing_left(self) -> bool:
        """Whether all may go, and nothing can come to any of them meanwhile."""
        idle = self.seen.in_flight == 0 and (self.seen.ready == 0 or self.seen.paused)
        return self.wanted == 0 and idle and not any(member.busy for member in self.crew.members)

    @property
    def _created(self) -> bool:
        """Whether the ReplicaSet has made all its pods, or has failed to for so long that it will not in a moment."""
        return not self.crew.missing or (self.short is not None and self.now - self.short > SLOW_SECONDS)

    def _without_stuck(self) -> int:
        """spec.replicas without pods that don't come up: a ReplicaSet gives up those and drained ones before all that serve."""
        crew, same = self.crew, self.deployment.replicas
        if crew.owed or not self._created or not all(member.stuck(self.now) for member in crew.unsure):
            return same
        return same - min(len(crew.unsure) + crew.missing, max(0, self.seen.serving - self.wanted))


def _serving(crew: Crew, memory: Memory, reading: QueueReading | None) -> frozenset[str]:
    if reading is None:
        return memory.serving.intersection(member.pod.name for member in crew.members)
    return frozenset(member.pod.name for member in crew.members if member.worker and member.pod.ready and not member.drained)


def _wrong_victims(
    memory: Memory, replicas: int, pods: Mapping[str, PodState], reading: QueueReading | None
) -> tuple[str, ...]:
    """Pods that served at the last look, when the ReplicaSet had some to delete, and are given up now.

    Of a set that goes as a whole those count in which there was something in flight after all.
    """
    if not memory.owed:
        return ()
    workers = reading.workers if reading else ()
    drained = {info.host for info in workers if info.drain == "drained"}
    served = memory.serving - drained
    if replicas == 0:
        served &= {info.host for info in workers if info.taken}
    return tuple(
        sorted(name for name in served if name not in pods or (pods[name].terminating and not pods[name].drained_cost))
    )
