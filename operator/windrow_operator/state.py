"""What the operator knows of one QueueWorker's pods and Deployment, without the rest of their objects. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from windrow.scaling import Decision
from windrow_operator.names import DELETION_COST, DRAINED_COST, PROTECTION

Phase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]

_COMING_UP = frozenset(["ContainerCreating", "PodInitializing"])
"""Why a container waits when nothing is wrong."""
_TURNS = {"ErrImagePull": "ImagePullBackOff"}
"""A pod has the first word at each try and the second in between: one trouble, one word."""
_CRASHES = 2
"""From how many restarts on a container that has not started yet is crash-looping, also between two back-offs."""


class Key(NamedTuple):
    """A QueueWorker's place."""

    namespace: str
    name: str


@dataclass(frozen=True)
class Trouble:
    """Why a pod does not come up: `reason` is Kubernetes' own word (`CrashLoopBackOff`, `Unschedulable`, `ErrImagePull`, …)."""

    reason: str
    message: str


@dataclass(frozen=True)
class PodState:
    """One worker pod. A worker's `host` in Redis is its pod's name."""

    name: str
    uid: str
    created: float
    """Seconds since 1970."""
    phase: Phase
    scheduled: bool
    ready: bool
    terminating: bool
    template_hash: str
    """Which ReplicaSet it is of."""
    drained_cost: bool
    """Whether it carries the deletion cost of a drained worker."""
    protected: bool
    """Whether it carries the annotations that keep its node."""
    trouble: Trouble | None = None

    @property
    def ended(self) -> bool:
        """Whether its containers have ended for good: a ReplicaSet no longer counts it and has made another."""
        return self.phase in ("Succeeded", "Failed")

    @classmethod
    def of(cls, pod: dict[str, Any]) -> PodState:
        """From the API server's object."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        annotations = metadata.get("annotations") or {}
        conditions = _conditions(status)
        phase: Phase = status.get("phase") or "Pending"
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            created=seconds(metadata["creationTimestamp"]),
            phase=phase,
            scheduled=bool((pod.get("spec") or {}).get("nodeName")),
            ready=conditions.get("Ready", {}).get("status") == "True",
            terminating="deletionTimestamp" in metadata,
            template_hash=(metadata.get("labels") or {}).get("pod-template-hash", ""),
            drained_cost=annotations.get(DELETION_COST) == DRAINED_COST,
            protected=all(annotations.get(name) == value for name, value in PROTECTION.items()),
            trouble=None if phase in ("Succeeded", "Failed") else _trouble(status, conditions),
        )


@dataclass(frozen=True)
class DeploymentState:
    """The Deployment of one QueueWorker as it was last seen or answered."""

    uid: str
    generation: int
    observed_generation: int
    replicas: int
    """spec.replicas."""
    exists: int
    """status.replicas: pods that are not terminating."""
    updated: int
    trouble: Trouble | None = None
    """Why pods are not even made (`FailedCreate`: a quota, an admission rule), or that a rollout is stuck
    (`ProgressDeadlineExceeded`)."""

    @classmethod
    def of(cls, deployment: dict[str, Any]) -> DeploymentState:
        """From the API server's object."""
        metadata, spec, status = deployment["metadata"], deployment["spec"], deployment.get("status") or {}
        return cls(
            uid=metadata["uid"],
            generation=metadata["generation"],
            observed_generation=status.get("observedGeneration", 0),
            replicas=spec.get("replicas", 1),
            exists=status.get("replicas", 0),
            updated=status.get("updatedReplicas", 0),
            trouble=_stuck(_conditions(status)),
        )


@dataclass(frozen=True)
class Figures:
    """What the scaler last read of one queue and decided on it. Times are seconds since 1970."""

    read_at: float | None = None
    """When Redis last answered; None before it ever did, and then the counts say nothing."""
    fault: str | None = None
    """Why Redis, or the Secret that says where it is, can't be read now, in one sentence."""
    ready: int = 0
    delayed: int = 0
    in_flight: int = 0
    oldest_since: float | None = None
    """When the oldest ready task was accepted."""
    workers: int = 0
    """Workers that live."""
    capped: tuple[str, ...] = ()
    """Tasks whose own limits go beyond the queue's hard limit, as the workers say."""
    desired: int | None = None
    """The Deployment's replicas that are aimed at."""
    decision: Decision | None = None
    paused: bool = False
    """Whether the queue is paused, by the spec or by a person."""
    pinned: bool = False
    """Whether the number of workers is fixed, by the spec or by a person."""
    held: str | None = None
    """Why the decision is not followed now, in one sentence; None when it is."""


def seconds(time: str) -> float:
    """Seconds since 1970 of a time as the API server writes it."""
    return datetime.fromisoformat(time).timestamp()


def written(at: float) -> str:
    """A time as the API server writes it, whole seconds in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in status.get("conditions") or ()}


def _stuck(conditions: dict[str, dict[str, Any]]) -> Trouble | None:
    failure, progressing = conditions.get("ReplicaFailure", {}), conditions.get("Progressing", {})
    for condition, bad in ((failure, "True"), (progressing, "False")):
        if condition.get("status") == bad:
            return Trouble(condition.get("reason") or "Unknown", condition.get("message") or "")
    return None


def _trouble(status: dict[str, Any], conditions: dict[str, dict[str, Any]]) -> Trouble | None:
    """A container's trouble, init containers first, else the scheduler's."""
    for container in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        trouble = _container_trouble(container)
        if trouble is not None:
            return trouble
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return Trouble(scheduled.get("reason") or "Unschedulable", scheduled.get("message") or "")
    return None


def _container_trouble(container: dict[str, Any]) -> Trouble | None:
    name, waiting = container["name"], (container.get("state") or {}).get("waiting") or {}
    reason, ending = waiting.get("reason"), _ending(container)
    if reason == "CrashLoopBackOff" and ending is not None:
        return Trouble(reason, f"container {name}: {ending}")
    if reason is not None and reason not in _COMING_UP:
        return Trouble(_TURNS.get(reason, reason), f"container {name}: {waiting.get('message') or 'no message'}")
    never_up = not container.get("started") and not container.get("ready")
    if never_up and container.get("restartCount", 0) >= _CRASHES and ending is not None:
        return Trouble("CrashLoopBackOff", f"container {name}: {ending}")
    return None


def _ending(container: dict[str, Any]) -> str | None:
    """How a container that is being restarted ended last; None when it ended well or never."""
    for state in (container.get("state") or {}, container.get("lastState") or {}):
        ended = state.get("terminated")
        if ended is not None and ended.get("exitCode") != 0:
            how = f"exit code {ended.get('exitCode')} ({ended.get('reason') or 'Error'})"
            message = " ".join((ended.get("message") or "").split())
            return f"{how}, {container.get('restartCount', 0)} restarts" + (f": {message}" if message else "")
    return None
