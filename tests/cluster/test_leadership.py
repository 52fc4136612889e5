"""Several operators, one of which leads: who follows, how soon, and that the one before writes nothing more."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster import setting
from tests.cluster.api import Api, Object
from tests.cluster.control_plane import Plane
from tests.cluster.operators import Operators
from tests.cluster.records import mark, names, token_of, written
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until

LEASES = "/apis/coordination.k8s.io/v1"
TAKEOVER_SECONDS = 15
Make = Callable[..., QueueWorkerObject]
Process = subprocess.Popen[bytes]


class Replicas:
    """Operators that the Lease and the audit log tell apart: each has a name and a token of its own."""

    def __init__(self, plane: Plane, operator: Operators, namespace: str, folder: Path) -> None:
        self.plane, self._operator, self._namespace, self._folder = plane, operator, namespace, folder
        self.tokens: dict[str, str] = {}

    def start(self, name: str) -> Process:
        """One more."""
        kubeconfig = self._folder / f"{name}.kubeconfig"
        setting.operator_account(self.plane, self._namespace, kubeconfig, watched=(self._namespace,))
        self.tokens[name] = token_of(kubeconfig)
        return self._operator.start(env={"KUBECONFIG": str(kubeconfig), "POD_NAME": name})

    def waits(self, number: int) -> None:
        """The operator that was started as number `number` (from 0) has seen that another leads."""
        log = self._operator.log_of(number)
        wait_until(lambda: "another operator leads" in log.read_text(encoding="utf-8"), 20, "it waits for the Lease")

    def lease(self) -> Object | None:
        """The Lease's spec."""
        found = self.plane.api.find(f"{LEASES}/namespaces/{self._namespace}/leases/windrow-operator")
        return None if found is None else found["spec"]

    def leader(self) -> str:
        """Who holds it, by name; empty when nobody does."""
        return str((self.lease() or {}).get("holderIdentity") or "").partition("_")[0]

    def wait_for(self, name: str, seconds: float = 20) -> float:
        """How long it took until `name` leads."""
        began = time.monotonic()
        wait_until(lambda: self.leader() == name, seconds, f"{name} leads")
        return time.monotonic() - began


@pytest.fixture
def replicas(plane: Plane, operator: Operators, namespace: str, tmp_path: Path) -> Replicas:
    return Replicas(plane, operator, namespace, tmp_path)


def serves(worker: QueueWorkerObject, seconds: float = 15) -> None:
    """The operator that leads has made what the QueueWorker needs."""
    wait_until(worker.deployment, seconds, f"{worker.name} has a Deployment")


def test_after_a_kill_the_next_one_leads_within_15_s(replicas: Replicas, operator: Operators, queueworker: Make) -> None:
    """Nobody gave the Lease back; the one who waits sees it grow old."""
    first = replicas.start("one")
    replicas.wait_for("one")
    replicas.start("two")
    serves(queueworker("before"))
    operator.kill(first)
    after = queueworker("after")
    took = replicas.wait_for("two", TAKEOVER_SECONDS)
    serves(after)
    lease = replicas.lease()
    assert lease is not None
    assert lease["leaseDurationSeconds"] == 10
    assert lease["leaseTransitions"] == 2
    assert took > 5, "it must not be taken while its holder may still believe in it"


def test_a_leader_that_is_told_to_end_gives_the_lease_back_at_once(replicas: Replicas, queueworker: Make) -> None:
    """The next one leads at its next look, and the one that ended says that all is well."""
    first = replicas.start("one")
    replicas.wait_for("one")
    second = replicas.start("two")
    replicas.waits(1)
    serves(queueworker("before"))
    first.send_signal(signal.SIGTERM)
    assert replicas.wait_for("two", 6) < 5
    assert first.wait(10) == 0
    serves(queueworker("after"))
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0
    assert replicas.leader() == ""


def test_one_that_waits_ends_at_once_and_writes_nothing(replicas: Replicas, queueworker: Make) -> None:
    """While another leads there is nothing to do, not even to the Lease."""
    replicas.start("one")
    replicas.wait_for("one")
    begun = mark(replicas.plane)
    second = replicas.start("two")
    replicas.waits(1)
    for number in range(3):
        serves(queueworker(f"w{number}"))
    lease = replicas.lease()
    wait_until(lambda: replicas.lease() != lease, 5, "the Lease is renewed")
    second.send_signal(signal.SIGTERM)
    assert second.wait(5) == 0
    assert replicas.leader() == "one"
    assert names(written(replicas.plane, replicas.tokens["two"], begun)) == []


def test_a_leader_that_stood_still_past_its_lease_ends_without_a_write(replicas: Replicas, queueworker: Make) -> None:
    """It wakes with changes to answer, and another leads: what it was about to write is written by that one."""
    first = replicas.start("one")
    replicas.wait_for("one")
    workers = [queueworker(f"w{number}", scaling={"minReplicas": 1}) for number in range(5)]
    for worker in workers:
        serves(worker)
    replicas.start("two")
    first.send_signal(signal.SIGSTOP)
    replicas.wait_for("two", TAKEOVER_SECONDS)
    for worker in workers:
        worker.patch(replicas=3)
    for worker in workers:
        wait_until(lambda worker=worker: worker.replicas() == 3, 10, "the next one scales")  # type: ignore[misc]
    for worker in workers:
        worker.api.delete(f"/apis/apps/v1/namespaces/{worker.namespace}/deployments/{worker.name}")
    woken = mark(replicas.plane)
    first.send_signal(signal.SIGCONT)
    assert first.wait(10) == 1
    for worker in workers:
        serves(worker)
    assert replicas.leader() == "two"
    assert names(written(replicas.plane, replicas.tokens["one"], woken)) == []


def test_a_lease_that_somebody_else_took_ends_the_leader(replicas: Replicas, queueworker: Make, api: Api) -> None:
    """It sees so at its next renewal, leaves the Lease as it is, and ends so that whoever runs it begins anew."""
    first = replicas.start("one")
    replicas.wait_for("one")
    serves(queueworker("before"))
    path = f"{LEASES}/namespaces/{queueworker('other').namespace}/leases/windrow-operator"
    api.patch(path, {"spec": {"holderIdentity": "somebody"}})
    taken = mark(replicas.plane)
    assert first.wait(6) == 1
    assert replicas.leader() == "somebody"
    ended = [name for name in names(written(replicas.plane, replicas.tokens["one"], taken)) if "leases" in name]
    assert [name for name in ended if name.endswith(" 200")] == []


def test_a_lease_that_was_deleted_is_made_anew(replicas: Replicas, queueworker: Make, api: Api) -> None:
    """A person who deletes it costs nobody anything."""
    first = replicas.start("one")
    replicas.wait_for("one")
    worker = queueworker("before")
    serves(worker)
    api.delete(f"{LEASES}/namespaces/{worker.namespace}/leases/windrow-operator")
    replicas.wait_for("one", 5)
    serves(queueworker("after"))
    assert first.poll() is None
