"""What the API server tells, in whatever order, leaves the same in memory."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from windrow_operator import names
from windrow_operator.handlers import Keeping
from windrow_operator.state import Key
from windrow_operator.watched import Watched

KEY = Key("shop", "orders")


def _queueworker(uid: str = "q1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "windrow.dev/v1alpha1",
        "kind": "QueueWorker",
        "metadata": {"name": "orders", "namespace": "shop", "uid": uid, "resourceVersion": "1", "generation": 1},
        "spec": spec,
    }


def _owned(name: str, uid: str) -> dict[str, Any]:
    labels = {**names.MANAGED_BY, names.QUEUEWORKER_LABEL: "orders"}
    created = "2026-01-01T00:00:00Z"
    return {"name": name, "namespace": "shop", "uid": uid, "labels": labels, "creationTimestamp": created}


def _deployment(replicas: int = 1, generation: int = 1, uid: str = "d1") -> dict[str, Any]:
    owner = {"controller": True, "uid": "q1", "name": "orders"}
    metadata = {**_owned("orders", uid), "generation": generation, "managedFields": [{"manager": "x"}]}
    metadata["ownerReferences"] = [owner]
    return {"metadata": metadata, "spec": {"replicas": replicas}, "status": {"observedGeneration": generation}}


def _pod(name: str = "orders-1", uid: str = "p1") -> dict[str, Any]:
    owner = {"controller": True, "uid": "r1", "name": "orders-5d4"}
    metadata = {**_owned(name, uid), "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}}


@pytest.mark.parametrize("order", list(itertools.permutations(["queueworker", "deployment", "pod"])))
def test_the_order_in_which_objects_are_seen_does_not_matter(order: tuple[str, ...]) -> None:
    """A watch of one kind may be ahead of another's."""
    watched = Watched()
    keeping = Keeping(watched)
    seen = {
        "queueworker": lambda: keeping.queueworker(_queueworker()),
        "deployment": lambda: keeping.deployment(_deployment()),
        "pod": lambda: keeping.pod(_pod()),
    }
    for kind in order:
        seen[kind]()
    entry = watched.entries[KEY]
    assert entry.deployment is not None
    assert entry.deployment.replicas == 1
    assert set(entry.pods) == {"orders-1"}
    assert "managedFields" not in (entry.deployment_raw or {})["metadata"]


def test_a_deployment_that_is_told_late_does_not_stand_over_a_newer_answer() -> None:
    """Answers to writes come at once, the watch later."""
    watched = Watched()
    keeping = Keeping(watched)
    keeping.queueworker(_queueworker())
    keeping.deployment(_deployment(replicas=50, generation=3))
    keeping.deployment(_deployment(replicas=1, generation=2))
    entry = watched.entries[KEY]
    assert entry.deployment is not None
    assert entry.deployment.replicas == 50


def test_a_spec_that_cannot_be_read_is_kept_with_its_sentence() -> None:
    """Nothing is half-started, and what is wrong is said."""
    watched = Watched()
    Keeping(watched).queueworker(_queueworker(concurrency=0))
    entry = watched.entries[KEY]
    assert entry.spec is None
    assert entry.fault == "spec.concurrency must be at least 1, not 0"


def test_our_own_status_is_no_reason_to_look_again() -> None:
    """Else each status would cost a reconciliation."""
    watched = Watched()
    keeping = Keeping(watched)
    keeping.queueworker(_queueworker())
    entry = watched.entries[KEY]
    entry.dirty = False
    keeping.queueworker({**_queueworker(), "status": {"replicas": 3}})
    assert not entry.dirty
    assert entry.raw["status"] == {"replicas": 3}
    keeping.queueworker(_queueworker(concurrency=3))
    assert entry.dirty


def test_a_queueworker_deleted_and_made_anew_begins_anew() -> None:
    """Its uid says that it is another one; a late word about the first does not end the second."""
    watched = Watched()
    keeping = Keeping(watched)
    keeping.queueworker(_queueworker())
    first = watched.entries[KEY]
    keeping.queueworker(_queueworker(uid="q2"))
    assert watched.entries[KEY] is not first
    keeping.queueworker_gone(_queueworker())
    assert KEY in watched.entries
    keeping.queueworker_gone(_queueworker(uid="q2"))
    assert KEY not in watched.entries


def test_a_pod_or_deployment_that_is_gone_is_forgotten_unless_another_took_its_name() -> None:
    """Late words are about the object with their uid alone."""
    watched = Watched()
    keeping = Keeping(watched)
    keeping.queueworker(_queueworker())
    keeping.deployment(_deployment())
    keeping.pod(_pod())
    keeping.pod_gone(_pod(uid="older"))
    keeping.deployment_gone(_deployment(uid="older"))
    entry = watched.entries[KEY]
    assert entry.pods
    assert entry.deployment is not None
    keeping.pod_gone(_pod())
    keeping.deployment_gone(_deployment())
    assert not entry.pods
    assert entry.deployment is None


def test_what_somebody_else_made_with_our_labels_is_not_ours() -> None:
    """Labels can be copied; who controls an object can't be by accident."""
    watched = Watched()
    keeping = Keeping(watched)
    keeping.queueworker(_queueworker())
    copy, of_another, pod = _deployment(), _deployment(), _pod()
    copy["metadata"]["name"] = "orders-copy"
    of_another["metadata"]["ownerReferences"][0]["uid"] = "q0"
    del pod["metadata"]["ownerReferences"]
    keeping.deployment(copy)
    keeping.deployment(of_another)
    keeping.pod(pod)
    entry = watched.entries[KEY]
    assert entry.deployment is None
    assert not entry.pods


@pytest.mark.parametrize("told", [True, False], ids=["told", "swept"])
def test_what_outlived_its_queueworker_is_not_there_for_the_next_one_of_that_name(told: bool) -> None:
    """The pods of one that was deleted go later than it; nothing of them is kept."""
    watched = Watched()
    keeping = Keeping(watched)
    keeping.queueworker(_queueworker())
    keeping.queueworker_gone(_queueworker())
    keeping.deployment(_deployment())
    keeping.pod(_pod())
    assert keeping.waiting() == {"d1", "p1"}
    if told:
        keeping.pod_gone(_pod(uid="another"))
        keeping.deployment_gone(_deployment(uid="another"))
        assert keeping.waiting() == {"d1", "p1"}
        keeping.pod_gone(_pod())
        keeping.deployment_gone(_deployment())
    else:
        keeping.forget({"d1", "p1"})
    assert keeping.waiting() == set()
    keeping.queueworker(_queueworker())
    entry = watched.entries[KEY]
    assert entry.deployment is None
    assert not entry.pods
