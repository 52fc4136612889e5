"""The plane does what a cluster does, and the agent what workers do: what the other tests of this folder stand on."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from benchmarks.operator.costs import writes
from tests.cluster.agent.playing import Agent
from tests.cluster.api import APPS, CORE, Api
from tests.cluster.control_plane import Plane, given
from tests.cluster.kubectl import Kubectl
from tests.cluster.parts import find
from tests.cluster.publishing import publish
from tests.waiting import wait_until
from windrow.broker import observe
from windrow.broker.client import connect

Manifest = dict[str, Any]


def deployment(name: str, replicas: int, **labels: str) -> Manifest:
    labels = {"app": name, **labels}
    pod = {"terminationGracePeriodSeconds": 600, "containers": [{"name": "worker", "image": "windrow:test"}]}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }  # fmt: skip


@pytest.fixture
def pods(api: Api, namespace: str) -> Callable[..., list[Manifest]]:
    def read() -> list[Manifest]:
        return api.items(f"{CORE}/namespaces/{namespace}/pods")

    return read


def ready(pod: Manifest) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", []))


def test_a_deployment_gets_ready_pods(kubectl: Kubectl, pods: Callable[[], list[Manifest]]) -> None:
    """Controllers, scheduler and nodes are there: what is asked for runs, and goes again."""
    kubectl.apply(deployment("web", 7))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    assert sum(map(ready, pods())) == 7
    kubectl("scale", "deployment/web", "--replicas=0")
    wait_until(lambda: not pods(), 20, "its pods are gone")


def test_what_belongs_to_something_goes_with_it(kubectl: Kubectl, api: Api, namespace: str) -> None:
    """The garbage collector is there: an object whose owner went goes."""
    kubectl.apply(deployment("web", 0))
    uid = kubectl.json("get", "deployment", "web")["metadata"]["uid"]
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": uid, "controller": True}
    api.post(f"{CORE}/namespaces/{namespace}/configmaps", {"metadata": {"name": "owned", "ownerReferences": [owner]}})
    kubectl("delete", "deployment", "web")
    wait_until(lambda: api.find(f"{CORE}/namespaces/{namespace}/configmaps/owned") is None, 30, "what it owned is gone")


def test_an_account_may_do_what_its_roles_say(kubectl: Kubectl) -> None:
    """RBAC is on: an account without a role may do nothing."""
    kubectl("create", "serviceaccount", "nobody")
    token = kubectl("create", "token", "nobody").strip()
    assert "nobody" in kubectl.refusal("--token", token, "get", "pods")


def test_a_cluster_that_runs_already_can_be_named(plane: Plane, namespace: str, tmp_path: Path) -> None:
    """From its kubeconfig alone: the same API server, with a certificate to check it by."""
    named = given(plane.kubeconfig, find(), tmp_path)
    assert named.api.get(f"{CORE}/namespaces/{namespace}")["metadata"]["name"] == namespace
    assert named.authority is not None
    assert Kubectl(named, namespace)("get", "serviceaccounts", "-o", "name").split() == ["serviceaccount/default"]
    named.api.close()


def test_what_an_account_writes_is_on_record(plane: Plane, kubectl: Kubectl, namespace: str) -> None:
    """The audit log has each write of a service account, and nothing of people: what an operator costs is read there."""
    kubectl("create", "serviceaccount", "writer")
    kubectl("create", "role", "writer", "--verb=create", "--resource=configmaps")
    kubectl("create", "rolebinding", "writer", "--role=writer", f"--serviceaccount={namespace}:writer")
    token = kubectl("create", "token", "writer").strip()
    tries = 0

    def wrote() -> bool:
        nonlocal tries
        tries += 1  # one that is refused is on record too
        try:
            kubectl("--token", token, "create", "configmap", "mine")
        except subprocess.CalledProcessError:
            return False
        return True

    wait_until(wrote, 10, "its role is known")
    user = f"system:serviceaccount:{namespace}:writer"
    wait_until(lambda: writes(plane.audit, user) == {"configmaps create": tries}, 10, "each write is on record")
    assert not writes(plane.audit, "admin")


def test_a_played_worker_does_a_workers_part(
    kubectl: Kubectl, agent: Agent, redis_url: str, redis_client: redis.Redis, api: Api, namespace: str,
    pods: Callable[[], list[Manifest]],
) -> None:  # fmt: skip
    """It registers under its pod's name, runs what is published, answers drains, and ends what it has before it goes."""
    client = connect(redis_url)
    kubectl.apply(deployment("slow", 2, **{"windrow.dev/queueworker": "slow"}))
    workers = wait_until(lambda: len(found := observe.workers(client)) == 2 and found, 30, "both workers are registered")
    assert {worker.host for worker in workers} == {pod["metadata"]["name"] for pod in pods()}

    publish(redis_url, "slow", 2, seconds=0.2)
    wait_until(lambda: sum(worker.done for worker in observe.workers(client)) == 2, 15, "both tasks have run")

    drained, other = workers
    client.hset(client.keys_of.drain, drained.id, "asked")
    wait_until(
        lambda: [ready(pod) for pod in pods() if pod["metadata"]["name"] == drained.host] == [False], 10, "it is not ready"
    )
    client.hdel(client.keys_of.drain, drained.id)
    wait_until(lambda: all(map(ready, pods())), 10, "it is ready again")

    client.hset(client.keys_of.drain, drained.id, "asked")
    wait_until(lambda: agent.record("drained")[1:], 10, "it has drained again")
    publish(redis_url, "slow", 1, seconds=3)
    wait_until(lambda: observe.observe(client, ["slow"])["slow"].in_flight == 1, 10, "the other has it")
    api.patch(f"{APPS}/namespaces/{namespace}/deployments/slow", {"spec": {"replicas": 0}})
    wait_until(lambda: not pods(), 20, "both pods are gone")

    told = {line["pod"]: line["busy"] for line in agent.record("terminating")}
    assert told == {drained.host: 0, other.host: 1}
    assert not agent.record("killed")
    assert observe.workers(client) == []
    assert [line["pod"] for line in agent.busy_removed()] == [other.host]
