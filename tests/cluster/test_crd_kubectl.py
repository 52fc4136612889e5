"""What a person has of a QueueWorker with kubectl: its columns, its words, its scale."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.cluster.api import Api, Refused
from tests.cluster.kubectl import Kubectl
from tests.cluster.setting import QueueWorkerObject
from tests.unit.operator_status_cases import CASES, READ, SETTLED
from windrow.queues import QueueWorker
from windrow.scaling import Decision, Reason
from windrow_operator.state import Figures, Key
from windrow_operator.status import status_of
from windrow_operator.watched import Entry

Make = Callable[..., QueueWorkerObject]


def tell(api: Api, made: QueueWorkerObject, status: dict[str, Any]) -> None:
    """Write a status as the operator does."""
    body = {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": made.name}, "status": status}
    api.patch(f"{made.path}/status", body, "apply", fieldManager="windrow-operator", force="true")


def entry_of(made: QueueWorkerObject) -> Entry:
    raw = made.get()
    return Entry(Key(made.namespace, made.name), raw, spec=QueueWorker.model_validate(raw), deployment=SETTLED)


def test_get_shows_what_a_person_on_call_looks_for(api: Api, kubectl: Kubectl, queueworker: Make) -> None:
    made = queueworker("long-running")
    now = time.time()
    decision = Decision(2, Reason.COUNTED, "7 ready and 3 in flight")
    figures = Figures(read_at=now, ready=7, in_flight=3, oldest_since=now - 65, workers=1, desired=2, decision=decision)
    tell(api, made, status_of(entry_of(made), figures, now))
    header, row = kubectl("get", "qw").splitlines()
    assert header.split() == ["NAME", "QUEUE", "READY", "IN", "FLIGHT", "OLDEST", "WORKERS", "DESIRED", "MODE", "AGE"]
    name, queue, ready, in_flight, oldest, workers, desired, mode, _ = row.split()
    assert (name, queue, ready, in_flight, workers, desired, mode) == (
        "long-running",
        "long_running",
        "7",
        "3",
        "1",
        "2",
        "Auto",
    )
    assert 65 <= int(oldest.removesuffix("s")) < 95, "an age, that grows by itself"


def test_the_category_and_the_short_name_find_it(kubectl: Kubectl, queueworker: Make) -> None:
    queueworker("mail")
    for words in ("windrow", "qw", "queueworkers", "queueworker"):
        assert "mail" in kubectl("get", words)


def test_explain_says_what_the_reference_page_does(kubectl: Kubectl, crd: None) -> None:
    assert "Slots of each worker: tasks it runs at a time." in kubectl("explain", "qw.spec.concurrency")


def test_a_refusal_is_one_sentence_with_the_key(kubectl: Kubectl, crd: None) -> None:
    given = {
        "apiVersion": "windrow.dev/v1alpha1",
        "kind": "QueueWorker",
        "metadata": {"name": "mail"},
        "spec": {"pool": "gevent"},
    }
    said = kubectl.refusal("apply", "-f", "-", given=given)
    assert said.strip().splitlines() == [
        'The QueueWorker "mail" is invalid: spec.pool: Invalid value: "string": must be prefork, asyncio or threads '
        "(a green-thread pool can neither end a task nor keep its lease)"
    ]


def test_a_queue_may_be_changed(queueworker: Make) -> None:
    """A typo is put right by applying the file again; the workers roll over to the other queue."""
    made = queueworker("mail", queue="mial")
    assert made.patch(queue="mail")["spec"]["queue"] == "mail"


def test_scale_pins_what_was_autoscaled(api: Api, kubectl: Kubectl, queueworker: Make) -> None:
    """Also outside the bounds of `scaling`, and with no number there before."""
    made = queueworker("mail", scaling={"maxReplicas": 3})
    assert "replicas" not in made.get()["spec"]
    kubectl("scale", "qw/mail", "--replicas=5")
    assert made.get()["spec"]["replicas"] == 5


def test_scale_says_how_many_there_are_and_which(api: Api, queueworker: Make) -> None:
    made = queueworker("mail", replicas=4)
    tell(api, made, status_of(entry_of(made), READ, time.time()))
    scale = api.get(f"{made.path}/scale")
    assert scale["spec"]["replicas"] == 4
    assert scale["status"] == {"replicas": 2, "selector": "windrow.dev/queueworker=mail"}


def test_scale_has_no_answer_while_it_is_autoscaled(api: Api, queueworker: Make) -> None:
    """So an HPA that is pointed at a QueueWorker says so, and does not fight with the autoscaler."""
    made = queueworker("mail")
    with pytest.raises(Refused, match=r"spec\.replicas"):
        api.get(f"{made.path}/scale")


def test_a_status_is_written_as_a_status_alone(api: Api, queueworker: Make) -> None:
    made = queueworker("mail")
    api.patch(made.path, {"status": {"ready": 5}})
    assert "status" not in made.get()
    generation = made.get()["metadata"]["generation"]
    tell(api, made, {"ready": 5})
    assert made.get()["status"] == {"ready": 5}
    assert made.get()["metadata"]["generation"] == generation


def test_every_status_that_can_be_said_can_be_written(api: Api, queueworker: Make) -> None:
    made = queueworker("mail")
    for case in CASES:
        given, figures = case.values[:2]
        status = status_of(given, figures, time.time())
        tell(api, made, status)
        assert made.get()["status"] == status
