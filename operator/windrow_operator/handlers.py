"""What the API server tells, put into `Watched`: kopf's handlers, thin, and a look at what a watch can't tell.

kopf lists anew after a watch was cut, but says nothing of what went meanwhile; `Sweep` asks for the names that are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import kopf
import structlog

from windrow.queues.sentences import first_fault
from windrow.queues.source import Source
from windrow_operator import names
from windrow_operator.api import DEPLOYMENT, POD, QUEUEWORKER, Api
from windrow_operator.cluster import ApiError
from windrow_operator.comparing import controller_of
from windrow_operator.state import Key, PodState
from windrow_operator.watched import Entry, Watched, lean

SWEEP_SECONDS = 60.0
"""How often the names that are there are compared with what is known."""

_log = structlog.get_logger(__name__)


class Keeping:
    """Keeps `Watched` as the API server says; each method takes the object as it is, or was when it went."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._orphans: dict[Key, tuple[dict[str, Any] | None, dict[str, PodState]]] = {}
        """A Deployment and pods that were seen before their QueueWorker."""

    # --- QueueWorkers ----------------------------------------------------------------------------------------------------

    def queueworker(self, raw: dict[str, Any]) -> None:
        """A QueueWorker was seen."""
        key = _key(raw)
        entry = self._watched.entries.get(key)
        if entry is not None and entry.raw["metadata"].get("uid") != raw["metadata"].get("uid"):
            entry = None  # one of the same name, deleted and made anew
        if entry is None:
            entry = self._watched.entries[key] = Entry(key, raw)
            deployment, pods = self._orphans.pop(key, (None, {}))
            entry.pods = pods
            if deployment is not None and controller_of(deployment).get("uid") == raw["metadata"].get("uid"):
                self._take_deployment(entry, deployment)
        elif _spec_of(entry.raw) == _spec_of(raw):
            entry.raw = lean(raw)  # our own status, most of the time
            return
        entry.raw = lean(raw)
        entry.spec, entry.fault = _parsed(raw)
        self._look(entry)

    def queueworker_gone(self, raw: dict[str, Any]) -> None:
        """A QueueWorker was deleted."""
        entry = self._watched.entries.get(_key(raw))
        if entry is not None and entry.raw["metadata"].get("uid") == raw["metadata"].get("uid"):
            del self._watched.entries[entry.key]
            self._watched.changed.set()

    # --- Deployments -----------------------------------------------------------------------------------------------------

    def deployment(self, raw: dict[str, Any]) -> None:
        """A Deployment was seen; one that somebody else made, or for another QueueWorker, is none of ours."""
        key = _key(raw)  # by its name, so that a label that was taken off is seen too
        entry = self._watched.entries.get(key)
        if entry is None:
            self._orphans[key] = (lean(raw), self._orphans.get(key, (None, {}))[1])
        elif controller_of(raw).get("uid") == entry.raw["metadata"].get("uid"):
            self._take_deployment(entry, raw)
        else:
            self.deployment_gone(raw)  # it was ours, and somebody took it away from us

    def deployment_gone(self, raw: dict[str, Any]) -> None:
        """A Deployment was deleted."""
        key, uid = _key(raw), raw["metadata"].get("uid")
        entry = self._watched.entries.get(key)
        if entry is None:
            deployment, pods = self._orphans.get(key, (None, {}))
            if deployment is not None and deployment["metadata"].get("uid") == uid:
                self._keep_orphans(key, None, pods)
        elif entry.deployment is None or entry.deployment.uid == uid:
            entry.deployment = entry.deployment_raw = None
            self._look(entry)  # it is missing, or no longer in the way

    def _take_deployment(self, entry: Entry, raw: dict[str, Any]) -> None:
        if entry.take_deployment(raw):
            self._look(entry)

    # --- pods ------------------------------------------------------------------------------------------------------------

    def pod(self, raw: dict[str, Any]) -> None:
        """A pod was seen; a copy that somebody made by hand is none of ours."""
        key = _owner(raw)
        if key is None or not controller_of(raw).get("name", "").startswith(f"{key.name}-"):
            return
        entry = self._watched.entries.get(key)
        pods = entry.pods if entry is not None else self._orphans.setdefault(key, (None, {}))[1]
        pods[raw["metadata"]["name"]] = PodState.of(raw)

    def pod_gone(self, raw: dict[str, Any]) -> None:
        """A pod is gone."""
        key, name = _owner(raw), raw["metadata"]["name"]
        if key is None:
            return
        entry = self._watched.entries.get(key)
        deployment, pods = (None, entry.pods) if entry is not None else self._orphans.get(key, (None, {}))
        if name in pods and pods[name].uid == raw["metadata"].get("uid"):
            del pods[name]
            if entry is None:
                self._keep_orphans(key, deployment, pods)

    def waiting(self) -> set[str]:
        """The uids of what waits for its QueueWorker."""
        found = {deployment["metadata"]["uid"] for deployment, _ in self._orphans.values() if deployment is not None}
        return found | {pod.uid for _, pods in self._orphans.values() for pod in pods.values()}

    def forget(self, gone: set[str]) -> None:
        """What waited for its QueueWorker and has one of these uids is not there any more."""
        for key, (deployment, pods) in list(self._orphans.items()):
            kept = None if deployment is None or deployment["metadata"]["uid"] in gone else deployment
            self._keep_orphans(key, kept, {name: pod for name, pod in pods.items() if pod.uid not in gone})

    def _keep_orphans(self, key: Key, deployment: dict[str, Any] | None, pods: dict[str, PodState]) -> None:
        if deployment is None and not pods:
            self._orphans.pop(key, None)
        else:
            self._orphans[key] = (deployment, pods)

    def _look(self, entry: Entry) -> None:
        entry.dirty = True
        self._watched.changed.set()


class Sweep:
    """Fills `Watched` before anything is decided, and takes out what went while no watch was open."""

    def __init__(self, watched: Watched, keeping: Keeping, api: Api, namespaces: tuple[str, ...]) -> None:
        self._watched, self._keeping, self._api = watched, keeping, api
        self._places: tuple[str | None, ...] = namespaces or (None,)
        self.relisted = asyncio.Event()
        """Set when a watch began anew."""

    async def fill(self) -> None:
        """List everything once. Raises ApiError."""
        for place in self._places:
            for raw in await self._api.listed(QUEUEWORKER, place):
                self._keeping.queueworker({**QUEUEWORKER, **raw})
            for raw in await self._api.listed(DEPLOYMENT, place, names.MANAGED_SELECTOR):
                self._keeping.deployment(raw)
            for raw in await self._api.listed(POD, place, names.MANAGED_SELECTOR):
                self._keeping.pod(raw)

    async def run(self) -> None:
        """Compare each minute, and soon after a watch began anew."""
        while True:
            try:
                await asyncio.wait_for(self.relisted.wait(), SWEEP_SECONDS)
                await asyncio.sleep(1.0)  # a new list tells one object after the other
            except TimeoutError:
                pass
            self.relisted.clear()
            try:
                await self.sweep()
            except ApiError as error:
                _log.warning("what went meanwhile could not be looked for", error=str(error))

    async def sweep(self) -> None:
        """Take out what is not there any more. Raises ApiError."""
        known = {entry.key: entry.raw["metadata"].get("uid") for entry in self._watched}
        deployments = {entry.key: entry.deployment.uid for entry in self._watched if entry.deployment is not None}
        pods = {(entry.key, name): pod.uid for entry in self._watched for name, pod in entry.pods.items()}
        waiting, there = self._keeping.waiting(), set[str]()
        for place in self._places:
            for kind, selector in ((QUEUEWORKER, ""), (DEPLOYMENT, names.MANAGED_SELECTOR), (POD, names.MANAGED_SELECTOR)):
                there.update(raw["metadata"]["uid"] for raw in await self._api.listed(kind, place, selector, names_only=True))
        for key, uid in known.items():
            entry = self._watched.entries.get(key)
            if uid not in there and entry is not None and entry.raw["metadata"].get("uid") == uid:
                self._keeping.queueworker_gone(entry.raw)
        for key, uid in deployments.items():
            entry = self._watched.entries.get(key)
            raw = entry.deployment_raw if entry is not None else None
            if uid not in there and raw is not None and raw["metadata"]["uid"] == uid:
                self._keeping.deployment_gone(raw)
        for (key, name), uid in pods.items():
            entry = self._watched.entries.get(key)
            seen = entry.pods.get(name) if entry is not None else None
            if uid not in there and entry is not None and seen is not None and seen.uid == uid:
                del entry.pods[name]
        self._keeping.forget(waiting - there)


Handler = Callable[..., Coroutine[Any, Any, None]]


def registered(keeping: Keeping, relisted: asyncio.Event, login: Callable[[], kopf.ConnectionInfo]) -> kopf.OperatorRegistry:
    """kopf's registry with our handlers: events only, so nothing is written to any object and no finalizer is set."""
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def _login(**_: Any) -> kopf.ConnectionInfo:
        return login()

    def follow(seen: Callable[[dict[str, Any]], None], gone: Callable[[dict[str, Any]], None]) -> Handler:
        # A coroutine, though it awaits nothing: kopf runs plain functions in threads, beside the loops that read `watched`.
        async def handle(event: kopf.RawEvent, **_: Any) -> None:
            if event["type"] is None:
                relisted.set()
            raw = dict(event["object"])
            (gone if event["type"] == "DELETED" else seen)(raw)

        return handle

    kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry, id="queueworker")(
        follow(keeping.queueworker, keeping.queueworker_gone)
    )
    kopf.on.event("apps", "v1", "deployments", registry=registry, id="deployment")(
        follow(keeping.deployment, keeping.deployment_gone)
    )
    kopf.on.event("", "v1", "pods", registry=registry, id="pod")(follow(keeping.pod, keeping.pod_gone))
    return registry


def _parsed(raw: dict[str, Any]) -> tuple[Any, str | None]:
    """The spec, or the sentence that says why it is none."""
    from pydantic import ValidationError

    from windrow.queues import QueueWorker

    data = {"apiVersion": raw.get("apiVersion"), "kind": raw.get("kind"), "metadata": raw["metadata"]}
    data["spec"] = raw.get("spec") or {}
    try:
        return QueueWorker.model_validate(data), None
    except ValidationError as error:
        return None, first_fault(error, Source("", 0))[1]


def _spec_of(raw: dict[str, Any]) -> tuple[Any, ...]:
    metadata = raw["metadata"]
    return raw.get("spec"), metadata.get("labels"), metadata.get("annotations"), metadata.get("deletionTimestamp")


def _key(raw: dict[str, Any]) -> Key:
    return Key(raw["metadata"]["namespace"], raw["metadata"]["name"])


def _owner(raw: dict[str, Any]) -> Key | None:
    name = (raw["metadata"].get("labels") or {}).get(names.QUEUEWORKER_LABEL)
    return Key(raw["metadata"]["namespace"], name) if name else None
