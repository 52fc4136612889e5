"""What the operator says to the API server. `Cluster` is the contract; `api.Api` keeps it."""

from __future__ import annotations

from typing import Any, Protocol

from windrow_operator.state import Key


class ApiError(Exception):
    """The API server refused, or could not be asked; `code` is its HTTP status, 0 when it did not answer."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class LeaseLost(Exception):
    """This process may not write any more: another operator may lead."""


class Cluster(Protocol):
    """Writes, each refused (`LeaseLost`) once this process may have lost its lease.

    429 and 5xx are retried for a bounded time, 409 is read anew; what remains raises `ApiError`, whose text is one sentence.
    """

    async def apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply with the operator's field manager, taking over what others hold; answers the object."""

    async def read(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """The live object of a manifest's kind, namespace and name; None when there is none."""

    async def lives(self, key: Key, uid: str) -> bool:
        """Whether the QueueWorker with this uid is there now, whatever a watch has told of it."""

    async def set_replicas(self, key: Key, replicas: int) -> dict[str, Any]:
        """Set spec.replicas of a Deployment, nothing else; answers the Deployment."""

    async def annotate_pod(self, namespace: str, name: str, annotations: dict[str, str | None]) -> None:
        """Set annotations of a pod, or remove those that are None. A pod that is gone is no error."""

    async def apply_status(self, key: Key, status: dict[str, Any]) -> None:
        """Server-side apply of a QueueWorker's status subresource. A QueueWorker that is gone is no error."""

    async def tell(self, entry: dict[str, Any], kind: str, reason: str, sentence: str) -> None:
        """An event about a QueueWorker (its raw object): `kind` is `Normal` or `Warning`."""

    async def secret(self, namespace: str, name: str) -> dict[str, str]:
        """A Secret's data, decoded; for those alone that a spec names. Raises ApiError, also when there is none."""
