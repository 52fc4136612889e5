"""All that is watched, in memory: each QueueWorker with its Deployment and pods.

Written by the handlers and by the answers to writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from windrow.queues import QueueWorker
from windrow_operator.state import DeploymentState, Key, PodState


@dataclass
class Entry:
    """One QueueWorker and what belongs to it."""

    key: Key
    raw: dict[str, Any]
    """The QueueWorker as the API server last gave it."""
    spec: QueueWorker | None = None
    """None when it can't be read; `fault` then says why in one sentence."""
    fault: str | None = None
    """Why nothing of it is applied or scaled: the spec can't be read, or another QueueWorker serves its queue."""
    apply_fault: str | None = None
    """Why an owned object was refused, or whose object stands in its place, in one sentence; None when all is applied."""
    deployment: DeploymentState | None = None
    deployment_raw: dict[str, Any] | None = None
    status: dict[str, Any] | None = None
    """The status as this process last wrote it; None before it did, and then `raw` has the one that counts."""
    pods: dict[str, PodState] = field(default_factory=dict)
    """By name, terminating ones included, until they are gone."""
    wanted: int | None = None
    """The scaler's last word on spec.replicas of the Deployment; None before its first."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held around each write to an owned object, so that two writers never cross."""
    dirty: bool = True
    """Whether the reconciler has yet to look at it."""

    def take_deployment(self, raw: dict[str, Any]) -> bool:
        """Take in its Deployment as it was told or answered, unless a newer one was; whether its owner must look at it.

        Answers to writes come at once and the watch tells late, or the other way round.
        """
        state, before = DeploymentState.of(raw), self.deployment
        if before is not None and self.deployment_raw is not None and before.uid == state.uid:
            if _version(raw) < _version(self.deployment_raw):
                return False
            changed = before.generation != state.generation or _labels(raw) != _labels(self.deployment_raw)
        else:
            changed = True
        self.deployment, self.deployment_raw = state, lean(raw)
        return changed


class Watched:
    """The entries by key."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self.changed = asyncio.Event()
        """Set at each change that the reconciler must look at."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())


def lean(raw: dict[str, Any]) -> dict[str, Any]:
    """The object without what nobody here reads and every object has much of."""
    return {**raw, "metadata": {key: value for key, value in raw["metadata"].items() if key != "managedFields"}}


def _version(raw: dict[str, Any]) -> tuple[int, int]:
    """What grows with each change: of the object first, for all that is watched comes from one store."""
    metadata = raw["metadata"]
    version = str(metadata.get("resourceVersion", ""))
    return int(version) if version.isdigit() else 0, metadata["generation"]


def _labels(raw: dict[str, Any]) -> Any:
    """What may be edited without a new generation."""
    return raw["metadata"].get("labels")
