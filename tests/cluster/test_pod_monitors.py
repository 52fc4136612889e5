"""PodMonitors are made when asked for, and where nobody knows them that is said and stops nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.api import Api
from tests.cluster.control_plane import Plane, run_kubectl
from tests.cluster.operators import Operators
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until
from windrow_operator.rbac import manifests

Make = Callable[..., QueueWorkerObject]
GROUP = "monitoring.coreos.com"
DEFINITION = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/podmonitors.{GROUP}"


@pytest.fixture
def monitoring(operator: Operators, plane: Plane, namespace: str) -> Operators:
    """An operator that may make PodMonitors."""
    for manifest in manifests(namespace, [namespace], pod_monitors=True):
        run_kubectl(plane, "apply", "--server-side", "--force-conflicts", "-f", "-", given=json.dumps(manifest))
    return operator


@pytest.fixture
def known(api: Api) -> Iterator[None]:
    """The definition that comes with a Prometheus operator, as far as it matters here."""
    schema = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
    spec: dict[str, Any] = {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": "PodMonitor", "plural": "podmonitors", "singular": "podmonitor", "listKind": "PodMonitorList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
    }
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"podmonitors.{GROUP}"},
        "spec": spec,
    }
    api.patch(DEFINITION, body, "apply", fieldManager="tests", force="true")
    wait_until(lambda: api.find(f"/apis/{GROUP}/v1/podmonitors"), 20, "PodMonitors are known")
    yield
    api.delete(DEFINITION)
    wait_until(lambda: api.find(DEFINITION) is None, 20, "they are not known any more")


def test_a_pod_monitor_is_made_and_owned(api: Api, monitoring: Operators, queueworker: Make, known: None) -> None:
    made = queueworker("mail")
    monitoring.start(env={"WINDROW_POD_MONITORS": "true"})
    path = f"/apis/{GROUP}/v1/namespaces/{made.namespace}/podmonitors/mail"
    wait_until(lambda: api.find(path), 20, "the PodMonitor is there")
    monitor = api.get(path)
    (owner,) = monitor["metadata"]["ownerReferences"]
    assert owner["uid"] == made.get()["metadata"]["uid"]
    assert monitor["spec"]["selector"]["matchLabels"] == {"windrow.dev/queueworker": "mail"}
    wait_until(lambda: (made.condition("Accepted") or {}).get("status") == "True", 20, "all is applied")


def test_without_its_definition_that_is_said_and_the_workers_are_there(monitoring: Operators, queueworker: Make) -> None:
    made = queueworker("mail")
    monitoring.start(env={"WINDROW_POD_MONITORS": "true"})
    wait_until(lambda: (made.condition("Accepted") or {}).get("status") == "False", 30, "what can't be applied is said")
    accepted = made.condition("Accepted")
    assert accepted is not None
    assert accepted["reason"] == "ApplyRefused"
    assert "PodMonitor" in accepted["message"]
    assert made.deployment() is not None
