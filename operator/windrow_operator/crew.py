"""A QueueWorker's pods joined with the workers that run in them. Pure.

A worker's `host` is its pod's name. What a ReplicaSet does not count (terminating or ended pods) is no part of a crew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from windrow.broker.observe import QueueReading, WorkerInfo
from windrow.scaling import Observation, WorkerState
from windrow_operator.state import DeploymentState, PodState

SLOW_SECONDS = 120.0
"""A pod that is not ready after so long, without a word why, is counted among those that don't come up."""


@dataclass(frozen=True)
class Member:
    """One pod that its ReplicaSet counts, and its newest worker; None while it has none, or while nobody can tell."""

    pod: PodState
    worker: WorkerInfo | None = None
    going: bool = False
    """Whether the ReplicaSet is about to delete it, though it never drained (it has no worker)."""

    @property
    def drained(self) -> bool:
        """Whether nothing is in flight there, and nothing will be."""
        return self.worker is not None and self.worker.drain == "drained"

    @property
    def asked(self) -> bool:
        """Whether it was asked to drain and has not said yet that it has."""
        return self.worker is not None and self.worker.drain == "asked"

    @property
    def confirmed(self) -> bool:
        """Whether its ReplicaSet gives it up before any that serves."""
        return self.drained and self.pod.drained_cost and not self.pod.ready

    @property
    def busy(self) -> bool:
        """Whether anything is in flight there."""
        return self.worker is not None and not self.drained and (self.worker.busy > 0 or self.worker.taken > 0)

    @property
    def idle(self) -> bool:
        """Whether it serves and has nothing."""
        return self.worker is not None and self.worker.drain is None and not self.busy

    @property
    def coming_up(self) -> bool:
        """Whether it is Pending or not ready for another reason than having drained: it would be given up before others."""
        return not self.drained and (not self.pod.ready or self.pod.phase == "Pending")

    def stuck(self, now: float) -> bool:
        """Whether it does not come up: Kubernetes says why, or it takes too long."""
        late = now - self.pod.created > SLOW_SECONDS
        return self.worker is None and self.coming_up and (self.pod.trouble is not None or late)


@dataclass(frozen=True)
class Crew:
    """All pods that the ReplicaSets of one Deployment count."""

    members: tuple[Member, ...]
    elsewhere: int
    """Slots at work in workers that are none of these: in pods that are terminating, or outside."""
    owed: int
    """Pods that the ReplicaSet has yet to delete."""
    missing: int
    """Pods that the ReplicaSet has yet to create."""
    rolling: bool
    """Whether there are pods of more than one template."""

    @property
    def asked(self) -> tuple[Member, ...]:
        """Those that were asked and have not drained."""
        return tuple(member for member in self.members if member.asked)

    @property
    def leaving(self) -> tuple[Member, ...]:
        """Those that take nothing and will not, unless they are called back."""
        return tuple(member for member in self.members if member.drained or member.going)

    @property
    def unsure(self) -> tuple[Member, ...]:
        """Those that come up, or should, and would be given up before any that drained."""
        return tuple(member for member in self.members if member.coming_up and not member.going)

    def troubled(self) -> Member | None:
        """One pod that shows why more pods would not help; None when the set is well.

        A node without room for one has none for more; of those that crash or find no image, half the set says so.
        """
        bad = [member for member in self.members if member.pod.trouble is not None and not member.going]
        for member in bad:
            if not member.pod.scheduled:
                return member
        return bad[0] if bad and 2 * len(bad) >= len(self.members) else None


def muster(deployment: DeploymentState | None, pods: Iterable[PodState], reading: QueueReading | None) -> Crew:
    """Join pods and workers; without a reading nobody knows the workers."""
    counted = sorted((pod for pod in pods if not pod.terminating and not pod.ended), key=lambda pod: pod.name)
    # A container that was started anew has registered anew, and the entry before may still be there.
    newest = {info.host: info for info in sorted(reading.workers, key=lambda info: info.started)} if reading else {}
    members = [Member(pod, newest.get(pod.name)) for pod in counted]
    replicas = deployment.replicas if deployment else 0
    owed = max(0, len(members) - replicas) if deployment else 0
    ours = {member.worker.id for member in members if member.worker}
    return Crew(
        members=_with_going(members, owed) if reading else tuple(members),
        elsewhere=sum(info.busy for info in reading.workers if info.id not in ours) if reading else 0,
        owed=owed,
        missing=max(0, replicas - len(members)),
        rolling=len({pod.template_hash for pod in counted}) > 1
        or (deployment is not None and deployment.updated < deployment.exists),
    )


def _with_going(members: list[Member], owed: int) -> tuple[Member, ...]:
    """Pods without a worker that are to go beside those that drained: the ones not ready, youngest first."""
    left = owed - sum(member.drained for member in members)
    if left <= 0:
        return tuple(members)
    candidates = sorted(
        (m for m in members if m.worker is None and m.coming_up), key=lambda m: (m.pod.scheduled, -m.pod.created)
    )
    going = {member.pod.name for member in candidates[:left]}
    return tuple(replace(member, going=member.pod.name in going) for member in members)


def observation(crew: Crew, reading: QueueReading | None, now: float) -> Observation:
    """What the policy decides from. Without a reading each pod counts as serving, but those marked as drained."""
    if reading is None:
        states = tuple(_unknown(member.pod) for member in crew.members) + _missing(crew.missing)
        return Observation(at=now, readable=False, workers=states)
    in_flight = reading.in_flight
    if crew.elsewhere and in_flight:
        # They finish it where it is; to nought a queue goes only when they have.
        in_flight = max(1, in_flight - crew.elsewhere)
    return Observation(
        at=reading.at,
        ready=reading.ready,
        delayed=reading.delayed,
        due_soon=reading.due_soon,
        in_flight=in_flight,
        oldest_age=reading.oldest_age,
        oldest_is_lower_bound=reading.oldest_is_lower_bound,
        workers=tuple(_state(member) for member in crew.members) + _missing(crew.missing),
        mean_run=reading.mean_run,
        finished=reading.finished,
        paused=reading.paused,
        pinned=reading.pinned,
    )


def _state(member: Member) -> WorkerState:
    name, info = member.pod.name, member.worker
    if info is None:
        return WorkerState(f"pod/{name}", name, 1, 0, 0, "drained" if member.going else "starting")
    if member.drained:
        return WorkerState(info.id, name, info.slots, 0, 0, "drained")
    return WorkerState(info.id, name, info.slots, info.busy, info.taken, "asked" if member.asked else "ready")


def _unknown(pod: PodState) -> WorkerState:
    return WorkerState(f"pod/{pod.name}", pod.name, 1, 0, 0, "drained" if pod.drained_cost else "ready")


def _missing(count: int) -> tuple[WorkerState, ...]:
    return tuple(WorkerState(f"missing/{n}", f"~{n}", 1, 0, 0, "starting") for n in range(count))
