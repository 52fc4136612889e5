"""What belongs to a QueueWorker is as its spec says, whoever else writes it; by the real operator, with its own rights."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.api import APPS, CORE, Api, Object
from tests.cluster.control_plane import Plane
from tests.cluster.kubectl import Kubectl
from tests.cluster.operators import Operators
from tests.cluster.records import mark, names, token_of, written
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until
from windrow_operator.status import FIGURES_EVERY_S

Make = Callable[..., QueueWorkerObject]


@pytest.fixture(autouse=True)
def running(operator: Operators) -> None:
    operator.start()


def accepted(made: QueueWorkerObject, status: str = "True", seconds: float = 15) -> Object:
    """The Accepted condition, once it says so of the spec as it is now."""

    def found() -> Object | None:
        condition, generation = made.condition("Accepted"), made.get()["metadata"]["generation"]
        current = condition and condition["status"] == status and condition["observedGeneration"] == generation
        return condition if current else None

    return wait_until(found, seconds, f"Accepted is {status} for the newest spec") or {}


def deployed(made: QueueWorkerObject) -> Object:
    """Its Deployment, which is there."""
    found = made.deployment()
    assert found is not None
    return found


def container(deployment: Object, name: str = "worker") -> Object:
    """One container of its pods."""
    found: list[Object] = deployment["spec"]["template"]["spec"]["containers"]
    return next(one for one in found if one["name"] == name)


def environment(deployment: Object) -> dict[str, Any]:
    """The worker's environment, by name."""
    return {entry["name"]: entry.get("value") for entry in container(deployment).get("env", [])}


def settled(plane: Plane, account: Path, seconds: float = FIGURES_EVERY_S + 1, within: float = 40.0) -> int:
    """Wait until the operator has written nothing but its Lease for some seconds; the place in the audit log then."""
    token, deadline = token_of(account), time.monotonic() + within
    while True:
        here = mark(plane)
        time.sleep(seconds)
        if not [name for name in names(written(plane, token, here)) if "leases" not in name]:
            return mark(plane)
        assert time.monotonic() < deadline, names(written(plane, token, here))


def test_all_that_a_queueworker_needs_is_made_and_belongs_to_it(api: Api, queueworker: Make) -> None:
    """By owner references, so that it goes with it; nothing holds anything back, and the QueueWorker itself is left alone."""
    made = queueworker("mail", scaling={"minReplicas": 2})
    accepted(made)
    raw = made.get()
    assert "finalizers" not in raw["metadata"]
    assert "annotations" not in raw["metadata"]
    root = f"namespaces/{made.namespace}"
    owned = [
        deployed(made),
        api.get(f"/apis/policy/v1/{root}/poddisruptionbudgets/mail"),
        api.get(f"{CORE}/{root}/serviceaccounts/mail-worker"),
    ]
    for one in owned:
        (owner,) = one["metadata"]["ownerReferences"]
        assert owner["uid"] == raw["metadata"]["uid"]
        assert owner["controller"] is True
        assert not owner.get("blockOwnerDeletion")
        assert "finalizers" not in one["metadata"]
        assert one["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "windrow-operator"
    assert made.replicas() == 2
    wait_until(lambda: len(made.pods()) == 2, 15, "its pods are there")


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        ({"spec": {"template": {"spec": {"containers": [{"name": "worker", "image": "mine:1"}]}}}}, "the image"),
        ({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}, "the grace"),
        ({"spec": {"replicas": 7}}, "the number of pods"),
        ({"spec": {"strategy": {"rollingUpdate": {"maxUnavailable": 3}}}}, "the rollout"),
    ],
    ids=["image", "grace", "replicas", "strategy"],
)
def test_a_hand_edit_of_what_is_ours_is_put_back(api: Api, queueworker: Make, edit: Object, what: str) -> None:
    """With the same words that it was made with; the QueueWorker is where one says otherwise."""
    made = queueworker("mail")
    accepted(made)
    before = deployed(made)
    api.patch(f"{APPS}/namespaces/{made.namespace}/deployments/mail", edit, "strategic", fieldManager="hand")
    edited = deployed(made)["metadata"]["generation"]
    assert edited > before["metadata"]["generation"]

    def back() -> bool:
        now = deployed(made)
        return bool(now["spec"] == before["spec"])

    wait_until(back, 10, f"{what} is as before")


def test_what_is_deleted_by_hand_is_made_again(api: Api, queueworker: Make) -> None:
    """The Deployment at once."""
    made = queueworker("mail", scaling={"minReplicas": 1})
    accepted(made)
    uid = deployed(made)["metadata"]["uid"]
    api.delete(f"{APPS}/namespaces/{made.namespace}/deployments/mail")
    again = wait_until(
        lambda: (found := made.deployment()) and found["metadata"]["uid"] != uid and found, 10, "there is another"
    )
    assert again["spec"]["replicas"] == 1


def test_what_others_add_stays(api: Api, queueworker: Make, kubectl: Kubectl) -> None:
    """An annotation, a variable, a container of somebody else: also when the spec changes later."""
    made = queueworker("mail")
    accepted(made)
    added = {
        "metadata": {"annotations": {"team": "post"}},
        "spec": {
            "template": {
                "metadata": {"annotations": {"injected": "yes"}},
                "spec": {
                    "containers": [
                        {"name": "worker", "env": [{"name": "THEIRS", "value": "1"}]},
                        {"name": "proxy", "image": "proxy:1"},
                    ]
                },
            }
        },
    }
    api.patch(f"{APPS}/namespaces/{made.namespace}/deployments/mail", added, "strategic", fieldManager="mesh")
    made.patch(concurrency=7)
    wait_until(
        lambda: '"concurrency":7' in str(environment(deployed(made))["WINDROW_SPEC"]).replace(" ", ""), 10, "the new spec"
    )
    now = deployed(made)
    assert now["metadata"]["annotations"]["team"] == "post"
    assert now["spec"]["template"]["metadata"]["annotations"]["injected"] == "yes"
    assert environment(now)["THEIRS"] == "1"
    assert container(now, "proxy")["image"] == "proxy:1"


def test_two_who_apply_the_same_field_end_with_ours(queueworker: Make, kubectl: Kubectl) -> None:
    """`kubectl apply --server-side` of a field that is ours is a conflict; forced, it is taken back."""
    made = queueworker("mail")
    accepted(made)
    theirs = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "mail"},
        "spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}},
    }  # fmt: skip
    before = deployed(made)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    sentence = kubectl.refusal("apply", "--server-side", "-f", "-", given=theirs)
    assert 'conflict with "windrow-operator"' in sentence
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=theirs)
    wait_until(
        lambda: deployed(made)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == before, 10, "ours is back"
    )


def test_scaling_rolls_no_pod_and_a_template_rolls_all(queueworker: Make) -> None:
    """Limits, pins and pauses are the operator's to know; the pods are made anew for what they must know themselves."""
    made = queueworker("mail", scaling={"minReplicas": 1})
    accepted(made)
    template = deployed(made)["spec"]["template"]
    made.patch(scaling={"minReplicas": 2, "maxReplicas": 9}, replicas=3, paused=True)
    accepted(made)
    wait_until(lambda: made.replicas() == 3, 10, "the pin holds")
    assert deployed(made)["spec"]["template"] == template
    made.patch(template={"env": [{"name": "LEVEL", "value": "3"}], "nodeSelector": {"kubernetes.io/os": "linux"}})
    wait_until(lambda: environment(deployed(made)).get("LEVEL") == "3", 10, "the template is new")
    assert made.replicas() == 3
    made.patch(template=None)
    wait_until(lambda: "LEVEL" not in environment(deployed(made)), 10, "what was left out again is taken away")
    assert deployed(made)["spec"]["template"] == template


def test_a_template_that_the_api_server_refuses_is_said_once_in_one_sentence(queueworker: Make) -> None:
    """In the Accepted condition and an event; what runs keeps running, and a better template heals it."""
    made = queueworker("mail", scaling={"minReplicas": 1})
    accepted(made)
    template = deployed(made)["spec"]["template"]
    made.patch(template={"resources": {"limits": {"memory": "lots"}}})
    condition = accepted(made, "False")
    assert condition["reason"] == "ApplyRefused"
    assert "quantities must match the regular expression" in condition["message"]
    told = wait_until(lambda: [event for event in made.events() if event["reason"] == "ApplyRefused"], 5, "an event says so")
    assert "quantities must match" in told[0]["message"]
    assert deployed(made)["spec"]["template"] == template
    time.sleep(3)  # it is tried again, and nothing more is said
    assert len([event for event in made.events() if event["reason"] == "ApplyRefused"]) == 1
    made.patch(template=None)
    assert accepted(made)["status"] == "True"


def test_when_all_is_said_nothing_is_written_any_more(
    plane: Plane, account: Path, queueworker: Make, operator: Operators
) -> None:
    """Not by a look at it each second, and not by an operator that begins anew and finds all as it should be.

    It decides anew, and may say so; no condition turns for it.
    """
    made = [queueworker(f"w{number}", scaling={"minReplicas": number % 3}) for number in range(6)]
    for one in made:
        accepted(one)
    quiet = settled(plane, account)
    generations = [deployed(one)["metadata"]["generation"] for one in made]
    conditions = [one.get()["status"]["conditions"] for one in made]
    operator.kill(operator.processes[0])
    operator.start()
    wait_until(lambda: "watching" in operator.log_of(1).read_text(encoding="utf-8"), 30, "the next one watches")
    time.sleep(5)
    done = [name for name in names(written(plane, token_of(account), quiet)) if "leases" not in name]
    assert [name for name in done if "queueworkers/status" not in name] == []
    assert len(done) == len(set(done)), "a status is said once"
    assert [one.get()["status"]["conditions"] for one in made] == conditions
    assert [deployed(one)["metadata"]["generation"] for one in made] == generations
