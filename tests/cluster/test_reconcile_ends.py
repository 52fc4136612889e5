"""How QueueWorkers, the operator and the CRD go: nothing hangs, nothing is left, whatever goes first."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.cluster import setting
from tests.cluster.agent.playing import Agent
from tests.cluster.api import QUEUEWORKERS, Api
from tests.cluster.kubectl import Kubectl
from tests.cluster.operators import Operators
from tests.cluster.setting import QueueWorkerObject
from tests.cluster.test_reconcile_others import accepted, path_of
from tests.waiting import wait_until

Make = Callable[..., QueueWorkerObject]
COLLECTED_SECONDS = 90
"""The garbage collector looks for new kinds every 30 s."""
KINDS = ("Deployment", "PodDisruptionBudget", "ServiceAccount")


@pytest.fixture
def crd_comes_back(api: Api, crd: None) -> Iterator[None]:
    """The tests after this one need the CRD too."""
    yield
    setting.install_crd(api)


def nothing_is_left(worker: QueueWorkerObject) -> None:
    for kind in KINDS:
        wait_until(lambda kind=kind: worker.api.find(path_of(worker, kind)) is None, COLLECTED_SECONDS, f"its {kind} is gone")  # type: ignore[misc]
    wait_until(lambda: not worker.pods(terminating=True), 30, "its pods are gone")


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_deleting_a_queueworker_takes_all_of_it_along(
    operator: Operators, agent: Agent, queueworker: Make, kubectl: Kubectl
) -> None:
    """By owner references alone: kubectl comes back at once, and the operator makes nothing anew."""
    process = operator.start()
    worker, other = (accepted(queueworker(name, scaling={"minReplicas": 1})) for name in ("mail", "reports"))
    for one in (worker, other):
        wait_until(lambda one=one: one.ready() == 1, 20, "its worker serves")  # type: ignore[misc]
    kubectl("delete", "qw", "mail", timeout=5)
    nothing_is_left(worker)
    assert other.ready() == 1
    assert process.poll() is None


def test_one_deleted_and_made_again_has_objects_of_its_own(operator: Operators, agent: Agent, queueworker: Make) -> None:
    """What the first left is waited for without a word, not taken over."""
    operator.start()
    first = accepted(queueworker("mail", concurrency=2, scaling={"minReplicas": 1}))
    wait_until(lambda: first.ready() == 1, 20, "its worker serves")
    first.delete()
    second = queueworker("mail", concurrency=3, scaling={"minReplicas": 2})
    uid = second.get()["metadata"]["uid"]

    def is_of_the_second(kind: str) -> bool:
        found = second.api.find(path_of(second, kind))
        return found is not None and [owner["uid"] for owner in found["metadata"]["ownerReferences"]] == [uid]

    for kind in KINDS:
        wait_until(lambda kind=kind: is_of_the_second(kind), COLLECTED_SECONDS, f"{kind} is of the second")  # type: ignore[misc]
    accepted(second)
    wait_until(lambda: second.ready() == 2, 30, "its workers serve")
    assert [event for event in second.events() if event["type"] == "Warning"] == []


def test_the_operator_first_then_queueworkers_then_the_crd(
    crd_comes_back: None, operator: Operators, agent: Agent, queueworker: Make, kubectl: Kubectl
) -> None:
    """No finalizer waits for somebody who is gone. Without an operator the workers go on until their QueueWorker is deleted."""
    process = operator.start()
    workers = [accepted(queueworker(name, scaling={"minReplicas": 1})) for name in ("mail", "reports")]
    for worker in workers:
        wait_until(lambda worker=worker: worker.ready() == 1, 20, "its worker serves")  # type: ignore[misc]
    end(process)
    kubectl("delete", "qw", "mail", timeout=5)
    nothing_is_left(workers[0])
    assert workers[1].ready() == 1
    kubectl("delete", "crd", "queueworkers.windrow.dev", timeout=30)
    nothing_is_left(workers[1])


def test_the_crd_under_a_running_operator(
    crd_comes_back: None, operator: Operators, queueworker: Make, kubectl: Kubectl, api: Api, namespace: str
) -> None:
    """All QueueWorkers go with it; the operator serves those that are made when it is back."""
    process = operator.start()
    worker = accepted(queueworker("mail"))
    kubectl("delete", "crd", "queueworkers.windrow.dev", timeout=30)
    nothing_is_left(worker)
    setting.install_crd(api)
    wait_until(lambda: api.items(f"{QUEUEWORKERS}/namespaces/{namespace}/queueworkers") == [], 10, "it is served again")
    later = accepted(queueworker("later"), 40)
    assert later.deployment() is not None
    assert process.poll() is None
