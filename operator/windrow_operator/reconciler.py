"""Keeps the objects of each QueueWorker as `render` says: what differs is applied whole, what is somebody else's is left.

An object is written only when it is not as it should be, so a restart, a new list or a change of scale writes nothing. Nothing
is ever deleted here: owner references take everything along with its QueueWorker.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from windrow_operator.cluster import ApiError, Cluster
from windrow_operator.comparing import clash, controlled_by, covers, refusal
from windrow_operator.conditions import twins
from windrow_operator.render import Platform, render
from windrow_operator.state import DeploymentState, Key
from windrow_operator.watched import Entry, Watched

AT_ONCE = 6
"""QueueWorkers reconciled at a time: a thousand new ones must not stand before a change of scale."""
LOOK_SECONDS = 60.0
"""How often the objects that are not watched are listed."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Between two tries at an object that was refused."""
_LISTED = ("ServiceAccount", "PodDisruptionBudget", "PodMonitor")

_log = structlog.get_logger(__name__)


class Meter(Protocol):
    """What the reconciler counts."""

    def reconciled(self, seconds: float) -> None:
        """One QueueWorker's objects were looked at."""

    def reconcile_failed(self) -> None:
        """An object could not be written."""


class Looked(Protocol):
    """Lists what is ours; `api.Api` keeps it."""

    async def owned(self, kind: str, namespaces: tuple[str, ...]) -> list[dict[str, Any]]:
        """All objects of a kind that the operator made. Raises ApiError."""


@dataclass
class _Kept:
    """What is remembered of one QueueWorker's objects."""

    uid: str
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Objects that are not watched, by kind, as they were last seen or answered."""
    written: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By kind: what was applied last, though the answer differs from it, and the generation that it made."""
    told: str | None = None
    failures: int = 0
    again_at: float | None = None


class Reconciler:
    """Reconciles all watched QueueWorkers."""

    def __init__(
        self, watched: Watched, cluster: Cluster, platform: Platform, meter: Meter,
        looked: Looked, namespaces: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self._watched, self._cluster, self._platform, self._meter = watched, cluster, platform, meter
        self._looked, self._namespaces = looked, namespaces
        self._kept: dict[Key, _Kept] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._listed_at: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile what changed, until `stop` is set. Raises LeaseLost."""
        try:
            while not stop.is_set():
                await self._look_at_the_rest()
                self._watched.changed.clear()
                self.start()
                for task in [task for task in self._running.values() if task.done()]:
                    task.result()
                self._running = {key: task for key, task in self._running.items() if not task.done()}
                try:
                    await asyncio.wait_for(self._watched.changed.wait(), 1.0)
                except TimeoutError:
                    continue
        finally:
            for task in self._running.values():
                task.cancel()

    def start(self) -> None:
        """Start the reconciliation of each QueueWorker that is due."""
        now = time.monotonic()
        found = twins(self._watched)
        for key in self._kept.keys() - self._watched.entries.keys():
            del self._kept[key]
        for entry in list(self._watched):
            kept = self._kept_of(entry)
            if entry.spec is not None:
                entry.dirty |= entry.fault != found.get(entry.key)
                entry.fault = found.get(entry.key)
            due = entry.dirty or (kept.again_at is not None and now >= kept.again_at)
            if due and entry.key not in self._running:
                entry.dirty, kept.again_at = False, None
                self._running[entry.key] = asyncio.create_task(self._reconcile(entry, kept))

    def _kept_of(self, entry: Entry) -> _Kept:
        uid = entry.raw["metadata"]["uid"]
        kept = self._kept.get(entry.key)
        if kept is None or kept.uid != uid:
            kept = self._kept[entry.key] = _Kept(uid)
        return kept

    async def _look_at_the_rest(self) -> None:
        """List what is not watched, now and then: hand edits there are put back too."""
        now = time.monotonic()
        if self._listed_at is not None and now - self._listed_at < LOOK_SECONDS:
            return
        self._listed_at = now
        kinds = _LISTED if self._platform.pod_monitors else _LISTED[:2]
        for kind in kinds:
            try:
                found = await self._looked.owned(kind, self._namespaces)
            except ApiError as error:
                _log.warning("objects could not be listed", kind=kind, error=str(error))
                continue
            by_owner = {
                reference["uid"]: live
                for live in found
                for reference in live["metadata"].get("ownerReferences") or ()
                if reference.get("controller")
            }
            for entry in self._watched:
                kept = self._kept_of(entry)
                if entry.key not in self._running and kept.live.get(kind) is not by_owner.get(kept.uid):
                    live = by_owner.get(kept.uid)
                    if live is None:
                        kept.live.pop(kind, None)
                    else:
                        kept.live[kind] = live
                    entry.dirty = True

    # --- one QueueWorker -------------------------------------------------------------------------------------------------

    async def _reconcile(self, entry: Entry, kept: _Kept) -> None:
        async with self._places:
            began = time.monotonic()
            try:
                await self._apply_all(entry, kept)
            finally:
                self._meter.reconciled(time.monotonic() - began)
                self._watched.changed.set()

    async def _apply_all(self, entry: Entry, kept: _Kept) -> None:
        metadata = entry.raw["metadata"]
        if entry.spec is None or entry.fault is not None or metadata.get("deletionTimestamp"):
            await self._tell(entry, kept, "InvalidSpec" if entry.spec is None else "QueueServedTwice", entry.fault)
            return
        faults, passing = [], False
        for kind in [manifest["kind"] for manifest in self._manifests(entry)]:
            try:
                async with entry.writing:
                    if self._watched.entries.get(entry.key) is not entry or entry.spec is None:
                        return
                    # Rendered under the lock: the number of pods is the one that was written last.
                    manifest = next((made for made in self._manifests(entry) if made["kind"] == kind), None)
                    fault = None if manifest is None else await self._keep(entry, kept, manifest)
            except ApiError as error:
                self._meter.reconcile_failed()
                name = "/".join(entry.key)
                _log.warning("an object could not be written", queueworker=name, kind=kind, error=str(error))
                passing = passing or error.code in (0, 409, 429) or error.code >= 500
                fault = None if passing else refusal(kind, entry.key.name, error.code, str(error))
            if fault is not None:
                faults.append(fault)
        kept.failures = kept.failures + 1 if faults or passing else 0
        if kept.failures:
            kept.again_at = time.monotonic() + min(FIRST_PAUSE_S * 2 ** min(kept.failures - 1, 6), LONGEST_PAUSE_S)
        if not passing or faults:
            entry.apply_fault = faults[0] if faults else None
        await self._tell(entry, kept, "ApplyRefused", entry.apply_fault)

    def _manifests(self, entry: Entry) -> list[dict[str, Any]]:
        spec = entry.spec
        if spec is None:
            return []
        return render(spec, self._platform, entry.raw["metadata"]["uid"], replicas_of(entry))

    async def _keep(self, entry: Entry, kept: _Kept, manifest: dict[str, Any]) -> str | None:
        """Write one object if it is not as it should be; the sentence when one of that name is somebody else's."""
        kind, uid = manifest["kind"], kept.uid
        live = entry.deployment_raw if kind == "Deployment" else kept.live.get(kind)
        if live is None:
            live = await self._cluster.read(manifest)
            if live is not None and not controlled_by(live, uid):
                return clash(live, kind, entry.key)
        if live is not None and self._is_kept(kept, live, manifest):
            self._take(entry, kept, kind, live)
            return None
        answer = await self._cluster.apply(manifest)
        _log.info("applied", queueworker="/".join(entry.key), kind=kind, name=manifest["metadata"]["name"])
        self._take(entry, kept, kind, answer)
        if covers(answer, manifest):
            kept.written.pop(kind, None)
        else:
            kept.written[kind] = (_text(manifest), answer["metadata"].get("generation", 0))
        return None

    def _is_kept(self, kept: _Kept, live: dict[str, Any], manifest: dict[str, Any]) -> bool:
        if covers(live, manifest):
            return True
        written = kept.written.get(manifest["kind"])
        # The API server writes some of it otherwise: it is as it was applied if nobody changed it since.
        as_written = written == (_text(manifest), live["metadata"].get("generation", 0))
        return as_written and covers(live["metadata"], manifest["metadata"])

    def _take(self, entry: Entry, kept: _Kept, kind: str, live: dict[str, Any]) -> None:
        metadata = {key: value for key, value in live["metadata"].items() if key != "managedFields"}
        lean = {**live, "metadata": metadata}
        if kind == "Deployment":
            entry.deployment, entry.deployment_raw = DeploymentState.of(lean), lean
        else:
            kept.live[kind] = lean

    async def _tell(self, entry: Entry, kept: _Kept, reason: str, fault: str | None) -> None:
        """An event for each new fault."""
        if fault is not None and fault != kept.told:
            try:
                await self._cluster.tell(entry.raw, "Warning", reason, fault)
            except ApiError as error:
                _log.warning("an event could not be written", queueworker="/".join(entry.key), error=str(error))
        kept.told = fault


def replicas_of(entry: Entry) -> int:
    """What an apply says about the number of pods: the scaler's last word, else what is there, else the spec's."""
    if entry.wanted is not None:
        return entry.wanted
    if entry.deployment is not None:
        return entry.deployment.replicas
    if entry.spec is None:
        return 0
    pinned = entry.spec.spec.replicas
    return pinned if pinned is not None else entry.spec.spec.scaling.min_replicas


def _text(manifest: dict[str, Any]) -> str:
    return json.dumps(manifest, sort_keys=True)
