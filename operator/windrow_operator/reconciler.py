"""Keeps the objects of each QueueWorker as `render` says: what differs is applied whole, what is somebody else's is left.

An object is written only when it is not as it should be, so a restart, a new list or a change of scale writes nothing. Nothing
is ever deleted here: owner references take everything along with its QueueWorker.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from windrow_operator.cluster import ApiError, Cluster, LeaseLost
from windrow_operator.comparing import Fault, Manifest, clash, controller_of, covers, mark_of, refusal, stamped
from windrow_operator.conditions import twins
from windrow_operator.render import Platform, render
from windrow_operator.state import Key
from windrow_operator.watched import Entry, Watched

AT_ONCE = 6
"""QueueWorkers reconciled at a time: a thousand new ones must not stand before a change of scale."""
LOOK_SECONDS = 60.0
"""How often the objects that are not watched are listed."""
GATHER_SECONDS = 0.05
"""How long changes are gathered before they are looked at."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
"""Between two tries at an object that was refused."""
QUIET_TRIES = 4
"""How often a passing error may come before it is said."""
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
    good: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of each kind that is not watched: the resourceVersion that was as it should be, and the mark of how that was."""
    told: str | None = None
    failures: int = 0
    again_at: float | None = None

    def failed(self, yes: bool) -> None:
        """Whether the last look ended with something undone, which is then tried again."""
        self.failures = self.failures + 1 if yes else 0
        pause = min(FIRST_PAUSE_S * 2.0 ** min(self.failures - 1, 9), LONGEST_PAUSE_S)
        self.again_at = time.monotonic() + pause if yes else None


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
                self._watched.changed.clear()
                await self._look_at_the_rest()
                self.start()
                try:
                    await asyncio.wait_for(self._watched.changed.wait(), 1.0)
                except TimeoutError:
                    continue
                await asyncio.sleep(GATHER_SECONDS)
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def start(self) -> None:
        """Start the reconciliation of each QueueWorker that is due. Raises LeaseLost when one before met it."""
        for task in [task for task in self._running.values() if task.done()]:
            task.result()
        self._running = {key: task for key, task in self._running.items() if not task.done()}
        for key in self._kept.keys() - self._watched.entries.keys():
            del self._kept[key]
        now, found = time.monotonic(), twins(self._watched)
        for entry in list(self._watched):
            kept = self._kept_of(entry)
            if entry.spec is not None and entry.fault != found.get(entry.key):
                entry.dirty, entry.fault = True, found.get(entry.key)
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
        for kind in _LISTED if self._platform.pod_monitors else _LISTED[:2]:
            try:
                found = await self._looked.owned(kind, self._namespaces)
            except ApiError as error:
                _log.warning("objects could not be listed", kind=kind, error=str(error))
                continue
            by_owner = {controller_of(live).get("uid"): live for live in found}
            for entry in self._watched:
                if entry.key not in self._running:
                    self._compare(entry, kind, by_owner.get(entry.raw["metadata"]["uid"]))

    def _compare(self, entry: Entry, kind: str, live: dict[str, Any] | None) -> None:
        """Remember that an object is as it should be, or have its QueueWorker looked at."""
        kept = self._kept_of(entry)
        version = None if live is None else live["metadata"]["resourceVersion"]
        if version == kept.good.get(kind, (None, ""))[0]:
            return
        kept.good.pop(kind, None)
        try:
            manifest = next((made for made in self._manifests(entry, kept) if made["kind"] == kind), None)
        except Exception:  # its own look says so  # noqa: BLE001
            return
        if manifest is not None and live is not None and covers(live, manifest):
            kept.good[kind] = (live["metadata"]["resourceVersion"], mark_of(manifest))
        elif manifest is not None:
            entry.dirty = True

    # --- one QueueWorker -------------------------------------------------------------------------------------------------

    async def _reconcile(self, entry: Entry, kept: _Kept) -> None:
        async with self._places:
            began = time.monotonic()
            try:
                await self._apply_all(entry, kept)
            except LeaseLost:
                self._watched.changed.set()
                raise
            except Exception:  # one QueueWorker's failure never stops the others  # noqa: BLE001
                _log.exception("a QueueWorker could not be reconciled", queueworker="/".join(entry.key))
                self._meter.reconcile_failed()
                kept.failed(True)
            self._meter.reconciled(time.monotonic() - began)
        if entry.dirty:
            self._watched.changed.set()

    async def _apply_all(self, entry: Entry, kept: _Kept) -> None:
        if entry.spec is None or entry.fault is not None:
            await self._tell(entry, kept, "InvalidSpec" if entry.spec is None else "QueueServedTwice", entry.fault)
            return
        faults, later = list[str](), False
        for manifest in self._manifests(entry, kept):
            try:
                fault = await self._keep(entry, kept, manifest)
            except ApiError as error:
                name, kind = "/".join(entry.key), manifest["kind"]
                _log.warning("an object could not be written", queueworker=name, kind=kind, error=str(error))
                self._meter.reconcile_failed()
                fault = refusal(manifest, error.code, str(error))
            if fault is None:
                continue
            if fault.passing and kept.failures < QUIET_TRIES:
                later = True
            else:
                faults.append(fault.sentence)
        kept.failed(bool(faults) or later)
        if faults or not later:
            entry.apply_fault = faults[0] if faults else None
        await self._tell(entry, kept, "ApplyRefused", entry.apply_fault)

    def _manifests(self, entry: Entry, kept: _Kept) -> list[Manifest]:
        """What is to be applied; nothing for a QueueWorker that is about to go."""
        if entry.spec is None or entry.fault is not None or entry.raw["metadata"].get("deletionTimestamp"):
            return []
        return [stamped(manifest) for manifest in render(entry.spec, self._platform, kept.uid, replicas_of(entry))]

    async def _keep(self, entry: Entry, kept: _Kept, manifest: Manifest) -> Fault | None:
        """Write one object if it is not as it should be; a fault when one of that name is somebody else's."""
        kind = manifest["kind"]
        if kind == "Deployment":
            async with entry.writing:
                return await self._keep_deployment(entry, kept, manifest)
        if kept.good.get(kind, ("", ""))[1] == mark_of(manifest) or not self._there(entry):
            return None
        # What is about to be written is looked at first: what others made since it was last seen is not taken over.
        live = await self._cluster.read(manifest)
        if live is not None and controller_of(live).get("uid") != kept.uid:
            return clash(live, kind, entry.key)
        if live is None or not covers(live, manifest):
            live = await self._apply(entry, manifest)
        kept.good[kind] = (live["metadata"]["resourceVersion"], mark_of(manifest))
        return None

    async def _keep_deployment(self, entry: Entry, kept: _Kept, manifest: Manifest) -> Fault | None:
        # The scaler may have written since this was rendered: its last word stands. The same goes for what is read below.
        manifest["spec"]["replicas"] = replicas_of(entry)
        if not self._there(entry) or (entry.deployment_raw is not None and covers(entry.deployment_raw, manifest)):
            return None
        live = await self._cluster.read(manifest)
        # A watch may have yet to tell that the QueueWorker is gone: what is made now would stand in the next one's way.
        gone = live is None and not await self._cluster.lives(entry.key, kept.uid)
        if gone or not self._there(entry):
            return None
        if live is not None and controller_of(live).get("uid") != kept.uid:
            return clash(live, "Deployment", entry.key)
        if live is not None:
            entry.take_deployment(live)
            manifest["spec"]["replicas"] = replicas_of(entry)
        if live is None or not covers(live, manifest):
            entry.take_deployment(await self._apply(entry, manifest))
        return None

    def _there(self, entry: Entry) -> bool:
        return self._watched.entries.get(entry.key) is entry

    async def _apply(self, entry: Entry, manifest: Manifest) -> dict[str, Any]:
        answer = await self._cluster.apply(manifest)
        name, kind = "/".join(entry.key), manifest["kind"]
        _log.info("applied", queueworker=name, kind=kind, name=manifest["metadata"]["name"])
        return answer

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
