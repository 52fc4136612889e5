"""What others did meanwhile, and what is in the way: of the rarer things that happen to a QueueWorker's objects."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster import setting
from tests.cluster.api import APPS, CORE, Api, Object
from tests.cluster.kubectl import Kubectl
from tests.cluster.operators import Operators
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until
from windrow_operator.crd import crd as the_crd

Make = Callable[..., QueueWorkerObject]
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/queueworkers.windrow.dev"


def path_of(worker: QueueWorkerObject, kind: str) -> str:
    place = f"namespaces/{worker.namespace}"
    return {
        "Deployment": f"{APPS}/{place}/deployments/{worker.name}",
        "PodDisruptionBudget": f"/apis/policy/v1/{place}/poddisruptionbudgets/{worker.name}",
        "ServiceAccount": f"{CORE}/{place}/serviceaccounts/{worker.name}-worker",
    }[kind]


def live(worker: QueueWorkerObject, kind: str = "Deployment") -> Object:
    return worker.api.get(path_of(worker, kind))


def is_accepted(worker: QueueWorkerObject, reason: str = "Applied") -> bool:
    said = worker.condition("Accepted")
    return (
        said is not None and said["reason"] == reason and said["observedGeneration"] == worker.get()["metadata"]["generation"]
    )


def accepted(worker: QueueWorkerObject, seconds: float = 20) -> QueueWorkerObject:
    wait_until(lambda: is_accepted(worker), seconds, f"{worker.name} is accepted")
    return worker


def refused(worker: QueueWorkerObject, reason: str = "ApplyRefused") -> str:
    """The sentence that the condition and one event say."""
    wait_until(lambda: is_accepted(worker, reason), 20, f"{worker.name} is refused")
    said = worker.condition("Accepted")
    assert said is not None
    assert said["status"] == "False"
    events = [event["message"] for event in worker.events() if event["reason"] == reason]
    assert events == [said["message"]]
    return str(said["message"])


def applied(operator: Operators, number: int) -> list[str]:
    """The kinds that an operator applied, by its log."""
    lines = operator.log_of(number).read_text(encoding="utf-8").splitlines()
    return [
        kind
        for line in lines
        if " applied " in line or '"applied"' in line
        for kind in re.findall(r'kind"?[=:] ?"?(\w+)', line)
    ]


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_an_account_that_is_named_is_used_and_none_is_made(operator: Operators, queueworker: Make) -> None:
    operator.start()
    worker = accepted(queueworker("mail", template={"serviceAccountName": "default"}))
    assert live(worker)["spec"]["template"]["spec"]["serviceAccountName"] == "default"
    assert worker.api.find(path_of(worker, "ServiceAccount")) is None


@pytest.mark.parametrize("label", ["app.kubernetes.io/component", "app.kubernetes.io/managed-by", "windrow.dev/queueworker"])
def test_a_label_of_the_deployment_is_put_back(operator: Operators, queueworker: Make, label: str) -> None:
    """Also one that the operator finds its own by, and though an edited label makes no new generation."""
    operator.start()
    worker = accepted(queueworker("mail"))
    before = live(worker)["metadata"]["labels"]
    worker.api.patch(path_of(worker, "Deployment"), {"metadata": {"labels": {label: None, "cost": "7"}}})
    wait_until(lambda: live(worker)["metadata"]["labels"] == {**before, "cost": "7"}, 10, f"the label {label} is put back")


def test_what_was_edited_or_deleted_while_no_operator_ran_is_put_right_and_nothing_else_written(
    operator: Operators, queueworker: Make
) -> None:
    """A restart alone writes nothing; what isn't watched is looked at when an operator begins, and each minute."""
    first = operator.start()
    worker, other = (accepted(queueworker(name, scaling={"minReplicas": 1})) for name in ("mail", "reports"))
    end(first)
    second = operator.start()
    wait_until(lambda: worker.replicas() == 1 and "watching" in operator.log_of(1).read_text(encoding="utf-8"), 20, "it leads")
    later = accepted(queueworker("later"))
    assert sorted(applied(operator, 1)) == ["Deployment", "PodDisruptionBudget", "ServiceAccount"], "the new one's alone"
    end(second)
    budget, account = path_of(worker, "PodDisruptionBudget"), path_of(other, "ServiceAccount")
    worker.api.patch(budget, {"spec": {"maxUnavailable": "50%"}, "metadata": {"labels": {"cost": "7"}}})
    worker.api.delete(account)
    worker.api.delete(path_of(later, "Deployment"))
    operator.start()
    wait_until(lambda: live(worker, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1, 20, "the budget is put back")
    wait_until(lambda: worker.api.find(account), 10, "the account is there again")
    wait_until(later.deployment, 10, "the Deployment is there again")
    assert live(worker, "PodDisruptionBudget")["metadata"]["labels"]["cost"] == "7"
    missing = ["Deployment", "PodDisruptionBudget", "ServiceAccount"]
    wait_until(lambda: sorted(applied(operator, 2)) == missing, 5, "one of each was written")


def test_what_a_spec_no_longer_says_is_taken_away(operator: Operators, queueworker: Make) -> None:
    """Also when it was changed while no operator ran."""
    first = operator.start()
    template = {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
    }
    worker = accepted(queueworker("mail", template=template))

    def environment() -> set[str]:
        return {one["name"] for one in live(worker)["spec"]["template"]["spec"]["containers"][0]["env"]}

    assert environment() >= {"A", "B"}
    worker.patch(template={"env": [{"name": "B", "value": "2"}]})
    wait_until(lambda: "A" not in environment(), 10, "the variable is taken away")
    assert "B" in environment()
    end(first)
    worker.patch(template={"nodeSelector": None})
    operator.start()
    wait_until(lambda: "nodeSelector" not in live(worker)["spec"]["template"]["spec"], 20, "the selector is taken away")


def test_a_quantity_that_is_written_otherwise_is_not_applied_over_and_over(operator: Operators, queueworker: Make) -> None:
    """The API server says 1 where 1000m was applied: that is no hand edit, and putting it right changes nothing."""
    operator.start()
    worker = accepted(queueworker("mail", template={"resources": {"requests": {"cpu": "1000m", "memory": "1024Mi"}}}))
    wait_until(lambda: live(worker)["status"].get("observedGeneration", 0) >= 1, 10, "its controller has seen it")
    accepted(queueworker("first"))
    before = len(applied(operator, 0))
    accepted(queueworker("second"))
    accepted(queueworker("third"))
    assert len(applied(operator, 0)) <= before + 2 * 3


def test_an_object_of_somebody_else_is_never_taken_over(operator: Operators, queueworker: Make, kubectl: Kubectl) -> None:
    """One sentence says whose it is and what to do; when it is gone, ours is made."""
    labels = {"app": "mine"}
    theirs = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "mail",
            "labels": {"app.kubernetes.io/managed-by": "windrow-operator", "windrow.dev/queueworker": "mail"},
        },
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "a", "image": "b"}]}},
        },
    }
    kubectl.apply(theirs)
    operator.start()
    worker = queueworker("mail", scaling={"minReplicas": 1})
    assert refused(worker) == (
        "Deployment mail must belong to QueueWorker mail, not to nobody that an owner reference names: "
        "delete it, or give the QueueWorker another name"
    )
    assert live(worker)["spec"]["selector"]["matchLabels"] == labels
    assert live(worker)["spec"]["replicas"] == 0
    assert "ownerReferences" not in live(worker)["metadata"]
    kubectl("delete", "deployment", "mail")
    accepted(worker)
    wait_until(lambda: worker.replicas() == 1, 10, "ours is there")


@pytest.fixture
def loose_crd(api: Api, crd: None) -> Iterator[None]:
    """As a newer CRD would be: it lets through what this operator can't read."""
    manifest: dict[str, Any] = the_crd()
    schema = manifest["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema.pop("x-kubernetes-validations", None)
    schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    # Paths of the scale subresource need no schema.
    api.patch(CRD, manifest, "apply", fieldManager="tests", force="true")
    try:
        yield
    finally:
        setting.install_crd(api)


def test_a_spec_that_cannot_be_read_stops_nobody_else_and_leaves_its_workers(
    loose_crd: None, operator: Operators, queueworker: Make, api: Api
) -> None:
    """The field, what it must be and what it is; its Deployment stays as it was."""
    operator.start()
    worker = queueworker("mail", scaling={"minReplicas": 1})
    wait_until(worker.deployment, 20, "there is a Deployment")
    before = live(worker)["spec"]

    def made() -> bool:
        worker.patch(concurrency="many")
        return bool(worker.get()["spec"]["concurrency"] == "many")

    wait_until(made, 10, "the loose CRD is served")
    sentence = refused(worker, "InvalidSpec")
    assert "spec.concurrency" in sentence
    assert "many" in sentence
    accepted(queueworker("reports"))
    assert live(worker)["spec"] == before
    worker.patch(concurrency=3)
    accepted(worker)


def test_a_queue_that_is_served_twice_has_the_workers_of_the_older_one(operator: Operators, queueworker: Make) -> None:
    """The younger one's objects are neither made nor touched; it takes over when the older one goes."""
    operator.start()
    older = accepted(queueworker("mail", queue="post", scaling={"minReplicas": 1}))
    younger = queueworker("another", queue="post", scaling={"minReplicas": 1})
    assert "spec.queue must be served by one QueueWorker" in refused(younger, "QueueServedTwice")
    assert younger.deployment() is None
    accepted(queueworker("reports"))
    older.delete()
    accepted(younger)
    wait_until(lambda: younger.replicas() == 1, 10, "it serves the queue")
