"""The API server, as far as the operator speaks to it: a thin client on aiohttp, with kopf's own way to log in."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

import aiohttp
import kopf

from windrow_operator import names
from windrow_operator.cluster import ApiError, LeaseLost
from windrow_operator.login import log_in
from windrow_operator.state import Key

PATIENCE_S = 10.0
"""How long one write or read is tried again."""
ANSWER_S = 5.0
"""How long one answer may take."""
LEASE_ANSWER_S = 2.5
"""How long an answer about the Lease may take: a connection that is dead must leave time for another try."""
LONGEST_PAUSE_S = 2.0

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PASSING = frozenset([429, 500, 502, 503, 504])
_UNREADABLE = ("failed to convert new object", "failed to create typed patch object")
"""How the API server begins when it can't read what is applied; it calls that a fault of its own (500)."""

_RESOURCES = {
    "ServiceAccount": "serviceaccounts",
    "Deployment": "deployments",
    "PodDisruptionBudget": "poddisruptionbudgets",
    "PodMonitor": "podmonitors",
    "QueueWorker": names.PLURAL,
    "Lease": "leases",
    "Secret": "secrets",
    "Pod": "pods",
    "Event": "events",
}
_VERSIONS = {"ServiceAccount": "v1", "PodDisruptionBudget": "policy/v1", "PodMonitor": "monitoring.coreos.com/v1"}
QUEUEWORKER = {"apiVersion": f"{names.GROUP}/{names.VERSION}", "kind": "QueueWorker"}
LEASE = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment"}
POD = {"apiVersion": "v1", "kind": "Pod"}
SECRET = {"apiVersion": "v1", "kind": "Secret"}
EVENT = {"apiVersion": "v1", "kind": "Event"}


class Meter(Protocol):
    """What counts the calls."""

    def called(self, verb: str, resource: str, code: int) -> None:
        """One answer, or none (`code` 0)."""


def path_of(kind: dict[str, Any], namespace: str | None, name: str | None = None, sub: str | None = None) -> str:
    """The URL's path of an object, or of a collection."""
    version = kind["apiVersion"]
    root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
    parts = [root, *(("namespaces", namespace) if namespace else ()), _RESOURCES[kind["kind"]]]
    return "/".join([*parts, *(part for part in (name, sub) if part)])


class Api:
    """Keeps `cluster.Cluster` and `lease.LeaseStore`; use it as an async context manager."""

    def __init__(self, login: Callable[[], kopf.ConnectionInfo] = log_in, meter: Meter | None = None) -> None:
        """Raises ApiError when there is nothing to log in with."""
        self._login, self._meter = login, meter
        self._info = login()
        self.may_write: Callable[[], bool] = lambda: True
        """Whether this process leads; asked before each write."""
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    # --- what the operator's parts say -----------------------------------------------------------------------------------

    async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """As `Cluster.apply`."""
        metadata = manifest["metadata"]
        path = path_of(manifest, metadata.get("namespace"), metadata["name"])
        return await self._write("PATCH", _managed(path, force=True), manifest, APPLY)

    async def read(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """As `Cluster.read`."""
        metadata = manifest["metadata"]
        try:
            return await self.call("GET", path_of(manifest, metadata.get("namespace"), metadata["name"]))
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    async def lives(self, key: Key, uid: str) -> bool:
        """As `Cluster.lives`: by a list of one, which needs no right beside those that a watch needs."""
        query = urlencode({"fieldSelector": f"metadata.name={key.name}"})
        found = await self.call("GET", f"{path_of(QUEUEWORKER, key.namespace)}?{query}")
        return any(one["metadata"]["uid"] == uid for one in found["items"])

    async def set_replicas(self, key: Key, replicas: int) -> dict[str, Any]:
        """As `Cluster.set_replicas`."""
        path = _managed(path_of(DEPLOYMENT, key.namespace, key.name))
        return await self._write("PATCH", path, {"spec": {"replicas": replicas}}, MERGE)

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        """As `Cluster.annotate_pod`."""
        path = _managed(path_of(POD, namespace, name))
        await self._unless_gone("PATCH", path, {"metadata": {"annotations": annotations}}, MERGE)

    async def apply_status(self, key: Key, status: dict[str, Any]) -> None:
        """As `Cluster.apply_status`."""
        path = _managed(path_of(QUEUEWORKER, key.namespace, key.name, "status"), force=True)
        body = {**QUEUEWORKER, "metadata": {"name": key.name, "namespace": key.namespace}, "status": status}
        await self._unless_gone("PATCH", path, body, APPLY)

    async def tell(self, entry: dict[str, Any], kind: str, reason: str, sentence: str) -> None:
        """As `Cluster.tell`."""
        metadata, now = entry["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
            "involvedObject": {
                **QUEUEWORKER,
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": kind,
            "reason": reason,
            "message": sentence[:1024],
            "source": {"component": names.MANAGER},
            "reportingComponent": names.MANAGER,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        await self._unless_gone("POST", path_of(EVENT, metadata["namespace"]), body)

    async def secret(self, namespace: str, name: str) -> dict[str, str]:
        """As `Cluster.secret`."""
        found = await self.call("GET", path_of(SECRET, namespace, name))
        return {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

    async def listed(
        self, kind: dict[str, Any], namespace: str | None, selector: str = "", *, names_only: bool = False,
        patience: float = PATIENCE_S,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """All objects of a kind, in one namespace or (None) in all; with `names_only` nothing of them but their metadata."""
        found: list[dict[str, Any]] = []
        query = {"limit": "500", **({"labelSelector": selector} if selector else {})}
        while True:
            accept = NAMES_ONLY if names_only else "application/json"
            path = f"{path_of(kind, namespace)}?{urlencode(query)}"
            page = await self.call("GET", path, accept=accept, patience=patience)
            found += page["items"] or ()  # an empty list of names is null
            query["continue"] = (page.get("metadata") or {}).get("continue") or ""
            if not query["continue"]:
                return found

    async def owned(self, kind: str, namespaces: tuple[str, ...]) -> list[dict[str, Any]]:
        """As `reconciler.Looked.owned`; no namespaces are all of them."""
        of = {"apiVersion": _VERSIONS[kind], "kind": kind}
        return [live for place in namespaces or (None,) for live in await self.listed(of, place, names.MANAGED_SELECTOR)]

    async def read_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """As `LeaseStore.read_lease`."""
        return await self.call("GET", path_of(LEASE, namespace, name), patience=0, answer_s=LEASE_ANSWER_S)

    async def create_lease(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """As `LeaseStore.create_lease`."""
        return await self.call("POST", path_of(LEASE, namespace), body, patience=0, answer_s=LEASE_ANSWER_S)

    async def update_lease(self, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """As `LeaseStore.update_lease`."""
        return await self.call("PUT", path_of(LEASE, namespace, name), body, patience=0, answer_s=LEASE_ANSWER_S)

    # --- one call --------------------------------------------------------------------------------------------------------

    async def _write(self, verb: str, path: str, body: Any, content: str = "application/json") -> dict[str, Any]:
        return await self.call(verb, path, body, content, guarded=True)

    async def _unless_gone(self, verb: str, path: str, body: Any, content: str = "application/json") -> None:
        try:
            await self._write(verb, path, body, content)
        except ApiError as error:
            if error.code != 404:
                raise

    async def call(
        self, verb: str, path: str, body: Any = None, content: str = "application/json", *,
        guarded: bool = False, patience: float = PATIENCE_S, accept: str = "application/json", answer_s: float = ANSWER_S,
    ) -> dict[str, Any]:  # fmt: skip
        """One call, tried again for `patience` seconds while the API server is away, overloaded or says "conflict".

        With `guarded`, LeaseLost is raised as soon as this process may not write.
        """
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + patience, 0.05
        while True:
            if guarded and not self.may_write():
                raise LeaseLost("another operator may lead, so nothing is written")
            try:
                return await self._once(verb, path, body, {"Content-Type": content, "Accept": accept}, answer_s)
            except _Again as again:
                wait = min(max(pause * random.uniform(0.5, 1.5), again.after), LONGEST_PAUSE_S)  # noqa: S311 - jitter
                if loop.time() + wait >= until:
                    raise ApiError(again.code, str(again)) from again
            await asyncio.sleep(wait)
            pause *= 2

    async def _once(self, verb: str, path: str, body: Any, headers: dict[str, str], answer_s: float) -> dict[str, Any]:
        resource = _resource(path)
        try:
            info = self._info
            status, after, text = await self._exchange(verb, path, body, headers, answer_s)
            if status == 401:  # a pod's token is replaced every hour
                await self._log_in_again(info)
                status, after, text = await self._exchange(verb, path, body, headers, answer_s)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            self._count(verb, resource, 0)
            raise _Again(0, f"the API server must answer, and does not ({_words(error)})") from error
        self._count(verb, resource, status)
        if status < 300:
            return dict(json.loads(text))
        message = _message(text) or f"HTTP {status}"
        if status == 500 and message.startswith(_UNREADABLE):
            status = 422
        if status in _PASSING or (status == 409 and verb == "PATCH"):
            raise _Again(status, f"the API server said: {message}", after)
        raise ApiError(status, f"the API server said: {message}")

    async def _exchange(
        self, verb: str, path: str, body: Any, headers: dict[str, str], answer_s: float
    ) -> tuple[int, float, bytes]:
        session = self._session
        if session is None or session.closed:
            info = self._info
            session = self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
                headers={**info.as_http_headers(), "User-Agent": names.MANAGER},
                proxy=info.proxy_url,
                trust_env=info.trust_env,
            )
        data = None if body is None else json.dumps(body).encode()
        timeout = aiohttp.ClientTimeout(total=answer_s)
        async with session.request(verb, self._info.server + path, data=data, headers=headers, timeout=timeout) as answer:
            text = await answer.read()
            given = answer.headers.get("Retry-After", "")
            return answer.status, float(given) if given.isdigit() else 0.0, text

    async def _log_in_again(self, refused: kopf.ConnectionInfo) -> None:
        if refused is not self._info:
            return  # another call did so meanwhile
        old, self._session = self._session, None
        self._info = self._login()
        if old is not None:
            await old.close()

    def _count(self, verb: str, resource: str, code: int) -> None:
        if self._meter is not None:
            self._meter.called(verb.lower(), resource, code)


class _Again(Exception):
    """An answer after which the same call may go through."""

    def __init__(self, code: int, sentence: str, after: float = 0.0) -> None:
        super().__init__(sentence)
        self.code, self.after = code, after


def _managed(path: str, *, force: bool = False) -> str:
    return f"{path}?fieldManager={names.MANAGER}{'&force=true' if force else ''}"


def _resource(path: str) -> str:
    """The resource of a path, with its subresource: `deployments`, `queueworkers/status`."""
    parts = path.partition("?")[0].split("/")
    at = next((n for n, part in enumerate(parts) if part in _RESOURCES.values()), None)
    if at is None:
        return "other"
    return "/".join([parts[at], *parts[at + 2 : at + 3]])


def _message(text: bytes) -> str:
    try:
        return str(json.loads(text).get("message", ""))
    except (ValueError, AttributeError):
        return text[:200].decode("utf-8", "replace").strip()


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__
