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


class Watched:
    """The entries by key."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self.changed = asyncio.Event()
        """Set at each change that the reconciler must look at."""

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())
