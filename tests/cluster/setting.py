"""What stands in a cluster before a test begins: a namespace, the CRD, the operator's account, QueueWorkers."""

from __future__ import annotations

import itertools
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.api import APPS, CORE, QUEUEWORKERS, Api, Object, Refused
from tests.cluster.control_plane import Plane, run_kubectl, write_kubeconfig
from tests.waiting import wait_until
from windrow_operator.crd import crd
from windrow_operator.rbac import manifests

ACCOUNT = "windrow-operator"
SECRET = "windrow"
"""The platform's Secret: where the workers' REDIS_URL comes from."""
OTHER_SECRET = "elsewhere"
"""One that a spec may name and the operator may read."""
IMAGE = "windrow:test"
_numbers = itertools.count(1)
_run = secrets.token_hex(3)


def new_namespace(api: Api) -> str:
    """A namespace with its default account."""
    name = f"t{next(_numbers)}-{os.getpid()}-{_run}"
    api.post(f"{CORE}/namespaces", {"metadata": {"name": name}})
    wait_until(
        lambda: api.find(f"{CORE}/namespaces/{name}/serviceaccounts/default"), 20, "the namespace has its default account"
    )
    return name


def drop_namespace(api: Api, name: str) -> None:
    """Have all of it go: played pods without their grace, the rest by the controllers, later."""
    api.delete(f"{APPS}/namespaces/{name}/deployments", propagationPolicy="Background")
    api.delete(f"{QUEUEWORKERS}/namespaces/{name}/queueworkers")
    api.delete(f"{CORE}/namespaces/{name}/pods", gracePeriodSeconds=0)
    api.delete(f"{CORE}/namespaces/{name}")


def install_crd(api: Api) -> None:
    """Install the operator's CRD, or bring it up to date."""
    manifest = crd()
    name = manifest["metadata"]["name"]
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}"
    api.patch(path, manifest, "apply", fieldManager="tests", force="true")

    def established() -> bool:
        conditions = api.get(path).get("status", {}).get("conditions") or []
        return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)

    wait_until(established, 20, "the CRD is established")
    wait_until(lambda: _served(api), 20, "QueueWorkers are served")


def _served(api: Api) -> bool:
    try:
        api.get(f"{QUEUEWORKERS}/queueworkers", limit="1")
    except Refused:
        return False
    return True


def operator_account(
    plane: Plane, namespace: str, kubeconfig: Path, *, watched: Sequence[str] | None, secret_names: Sequence[str] = ()
) -> Path:
    """The operator's account in `namespace` with its roles, and a kubeconfig with a token of its own.

    `watched` is None for all namespaces; `secret_names` are those that specs in `namespace` may name.
    """
    made = manifests(namespace, watched, secret_names={namespace: secret_names})
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
    run_kubectl(plane, "apply", "--server-side", "--force-conflicts", "-f", "-", given=text)
    token = run_kubectl(plane, "create", "token", ACCOUNT, "-n", namespace, "--duration=8h").strip()
    return write_kubeconfig(kubeconfig, plane.server, plane.authority, token, namespace)


def platform_secret(api: Api, namespace: str, redis_url: str, name: str = SECRET) -> None:
    """The platform's Secret, with where its Redis is."""
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"REDIS_URL": redis_url}}
    api.patch(f"{CORE}/namespaces/{namespace}/secrets/{name}", body, "apply", fieldManager="tests", force="true")


@dataclass(frozen=True)
class QueueWorkerObject:
    """A QueueWorker on the API server, with what the operator owns for it."""

    api: Api
    namespace: str
    name: str

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{QUEUEWORKERS}/namespaces/{self.namespace}/queueworkers/{self.name}"

    @property
    def queue(self) -> str:
        """Its queue."""
        return str(self.get()["spec"].get("queue") or self.name.replace("-", "_"))

    def get(self) -> Object:
        """The object; raises Refused."""
        return self.api.get(self.path)

    def patch(self, **spec: object) -> Object:
        """Change fields of its spec (None removes one)."""
        return self.api.patch(self.path, {"spec": spec})

    def delete(self) -> None:
        """Delete it."""
        self.api.delete(self.path)

    def condition(self, kind: str) -> Object | None:
        """One of its conditions."""
        conditions = self.get().get("status", {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == kind), None)

    def deployment(self) -> Object | None:
        """Its Deployment."""
        return self.api.find(f"{APPS}/namespaces/{self.namespace}/deployments/{self.name}")

    def replicas(self) -> int | None:
        """spec.replicas of its Deployment; None while there is none."""
        found = self.deployment()
        return None if found is None else int(found["spec"]["replicas"])

    def pods(self, *, terminating: bool = False) -> list[Object]:
        """Its pods, those that are going only with `terminating`."""
        found = self.api.items(f"{CORE}/namespaces/{self.namespace}/pods", labelSelector=f"windrow.dev/queueworker={self.name}")
        return [pod for pod in found if terminating or not pod["metadata"].get("deletionTimestamp")]

    def ready(self) -> int:
        """How many of them are ready."""
        return sum(
            any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", []))
            for pod in self.pods()
        )

    def events(self) -> list[Object]:
        """The events about it."""
        found = self.api.items(f"{CORE}/namespaces/{self.namespace}/events", fieldSelector=f"involvedObject.name={self.name}")
        return [event for event in found if event["involvedObject"]["kind"] == "QueueWorker"]


def make_queueworker(api: Api, namespace: str, name: str, spec: dict[str, Any]) -> QueueWorkerObject:
    """Create a QueueWorker; raises Refused."""
    body = {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": name}, "spec": spec}
    api.post(f"{QUEUEWORKERS}/namespaces/{namespace}/queueworkers", body)
    return QueueWorkerObject(api, namespace, name)
