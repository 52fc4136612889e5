"""What the operator knows of one QueueWorker's pods and Deployment, without the rest of their objects. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple


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
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
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

    @classmethod
    def of(cls, pod: dict[str, Any]) -> PodState:
        """From the API server's object."""
        raise NotImplementedError


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
    ready: int
    available: int
    paused: bool = False

    @property
    def rolling(self) -> bool:
        """Whether pods of an older template are still there, or the newest spec was not looked at yet."""
        return self.observed_generation < self.generation or self.updated < self.exists

    @classmethod
    def of(cls, deployment: dict[str, Any]) -> DeploymentState:
        """From the API server's object."""
        raise NotImplementedError
