"""Which of several operators leads: a Lease in Kubernetes, held for 10 s and renewed every 2 s.

As client-go does it, nobody trusts another's clock: a Lease counts as abandoned once it was seen unchanged for its own
duration, by the clock of whoever looks. The holder counts from before its last renewal was sent, so it stops before anybody
else may begin.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

import structlog

from windrow_operator.cluster import ApiError

LEASE_NAME = "windrow-operator"
DURATION_S = 10
"""How long a holder may be silent."""
RENEW_S = 2.0
"""Between two renewals, and between two looks of those who wait."""
AGAIN_S = 0.5
"""After a renewal that failed."""
MARGIN_S = 2.0
"""A holder believes in itself for so much less than the duration."""

_log = structlog.get_logger(__name__)


class LeaseStore(Protocol):
    """Where the Lease is; errors are ApiError, with `code` 404 and 409 as the API server means them."""

    async def read_lease(self, namespace: str, name: str) -> dict[str, Any]:
        """The Lease as it is."""

    async def create_lease(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make it; 409 when somebody was first."""

    async def update_lease(self, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Replace it; 409 when its resourceVersion is not the newest."""


@dataclass(frozen=True)
class Seen:
    """A Lease as it was last read, and since when it has been so by the reader's own monotonic clock."""

    version: str
    holder: str
    duration_s: float
    since: float

    @classmethod
    def of(cls, lease: dict[str, Any], before: Seen | None, now: float) -> Seen:
        """What was read at `now`; an unchanged Lease keeps its time."""
        spec, version = lease.get("spec") or {}, lease["metadata"]["resourceVersion"]
        seen = cls(version, spec.get("holderIdentity") or "", float(spec.get("leaseDurationSeconds") or DURATION_S), now)
        return replace(seen, since=before.since) if before is not None and before.version == version else seen


def step(seen: Seen | None, identity: str, now: float) -> Literal["create", "take", "renew", "wait"]:
    """What to do about a Lease; None: there is none."""
    if seen is None:
        return "create"
    if seen.holder == identity:
        return "renew"
    if not seen.holder or now - seen.since > seen.duration_s:
        return "take"
    return "wait"


def written(lease: dict[str, Any] | None, namespace: str, identity: str, wall: datetime) -> dict[str, Any]:
    """The Lease with `identity` as its holder (or nobody, when that is empty), from the one that was read."""
    stamp = wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    before = (lease or {}).get("spec") or {}
    same = before.get("holderIdentity") == identity
    spec = {
        "holderIdentity": identity,
        "leaseDurationSeconds": DURATION_S if identity else 1,
        "acquireTime": before.get("acquireTime", stamp) if same else stamp,
        "renewTime": stamp,
        "leaseTransitions": (before.get("leaseTransitions") or 0) + (0 if same or not identity else 1),
    }
    metadata = {"name": LEASE_NAME, "namespace": namespace}
    if lease is not None:
        metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


class LeaseKeeper:
    """Wins the Lease, keeps it, gives it back."""

    def __init__(
        self, store: LeaseStore, namespace: str, identity: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._namespace, self._identity, self._clock = store, namespace, identity, clock
        self._seen: Seen | None = None
        self._lease: dict[str, Any] | None = None
        self._until = float("-inf")

    @property
    def leads(self) -> bool:
        """Whether this process may write now."""
        return self._clock() < self._until

    async def win(self) -> None:
        """Wait until the Lease is ours. Errors of the API server are logged and tried again."""
        told = None
        while not await self._try():
            holder = self._seen.holder if self._seen is not None else ""
            if holder != told:
                _log.info("another operator leads", holder=holder or None)
                told = holder
            await asyncio.sleep(RENEW_S)
        _log.info("this operator leads", identity=self._identity)

    async def keep(self) -> None:
        """Renew until the Lease is lost; returns then."""
        pause = RENEW_S
        while self.leads:
            await asyncio.sleep(max(0.0, min(pause, self._until - self._clock())))
            if not self.leads:
                break
            renewed = await self._try()
            if not renewed and self._seen is not None and self._seen.holder != self._identity:
                break
            pause = RENEW_S if renewed else AGAIN_S
        self._until = float("-inf")
        _log.error("the lease is lost", holder=self._seen.holder if self._seen is not None else None)

    async def release(self) -> None:
        """Give the Lease back, so that the next one need not wait."""
        if not self.leads or self._lease is None:
            return
        self._until = float("-inf")
        with contextlib.suppress(ApiError):
            body = written(self._lease, self._namespace, "", datetime.now(UTC))
            await self._store.update_lease(self._namespace, LEASE_NAME, body)
            _log.info("the lease is given back")

    async def _try(self) -> bool:
        """One look, and one write if it is our turn; says whether the Lease is ours now."""
        try:
            try:
                # What this process wrote last is the newest unless somebody took it: a renewal needs no look.
                self._lease = self._lease if self.leads else await self._store.read_lease(self._namespace, LEASE_NAME)
            except ApiError as error:
                if error.code != 404:
                    raise
                self._lease = self._seen = None
            if self._lease is not None:
                self._seen = Seen.of(self._lease, self._seen, self._clock())
            if step(self._seen, self._identity, self._clock()) == "wait":
                return False
            before = self._clock()
            body = written(self._lease, self._namespace, self._identity, datetime.now(UTC))
            if self._lease is None:
                self._lease = await self._store.create_lease(self._namespace, body)
            else:
                self._lease = await self._store.update_lease(self._namespace, LEASE_NAME, body)
        except ApiError as error:
            if error.code == 409:
                await self._look()
            else:
                _log.warning("the lease could not be written", error=str(error))
            return False
        self._seen = Seen.of(self._lease, None, self._clock())
        self._until = before + DURATION_S - MARGIN_S
        return True

    async def _look(self) -> None:
        with contextlib.suppress(ApiError):
            self._lease = await self._store.read_lease(self._namespace, LEASE_NAME)
            self._seen = Seen.of(self._lease, self._seen, self._clock())
