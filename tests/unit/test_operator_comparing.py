"""When an object is as it was applied, and what is said when it can't be."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.unit.test_operator_render import PLATFORM, queueworker
from windrow_operator.comparing import Fault, clash, controller_of, covers, mark_of, refusal, stamped
from windrow_operator.render import render
from windrow_operator.state import Key

KEY = Key("shop", "mail")
MOUNTS = [{"name": "v", "path": "/a"}, {"name": "v", "path": "/b"}]


def deployment(spec: dict[str, Any] | None = None, replicas: int = 3) -> dict[str, Any]:
    return stamped(next(made for made in render(queueworker(spec), PLATFORM, "u1", replicas) if made["kind"] == "Deployment"))


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}),
        ({}, {"a": {}, "b": [], "c": None}),
        ({"env": [{"name": "b", "value": "2"}, {"name": "a", "value": "1", "x": 0}]}, {"env": [{"name": "a", "value": "1"}]}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "a"}]}),
        ({"mounts": MOUNTS}, {"mounts": MOUNTS}),
    ],
)
def test_what_others_added_is_no_difference(live: Any, wanted: Any) -> None:
    """Defaults, other managers' fields, and parts of lists that are merged by name."""
    assert covers(live, wanted)


@pytest.mark.parametrize(
    ("live", "wanted"),
    [
        ({"a": 2}, {"a": 1}),
        ({}, {"a": 1}),
        ({}, {"a": False}),
        ({"a": 1}, {"a": {"b": 1}}),
        ({"env": [{"name": "b", "value": "2"}]}, {"env": [{"name": "a", "value": "1"}]}),
        ({"env": [{"name": "a", "value": "2"}]}, {"env": [{"name": "a", "value": "1"}]}),
        ({"env": None}, {"env": [{"name": "a"}]}),
        ({"tolerations": [{"key": "a"}, {"key": "b"}]}, {"tolerations": [{"key": "a"}]}),
        ({"args": ["b", "a"]}, {"args": ["a", "b"]}),
        ({"mounts": MOUNTS[1:]}, {"mounts": MOUNTS}),
    ],
)
def test_a_value_that_is_missing_or_another_is_a_difference(live: Any, wanted: Any) -> None:
    """Lists that are kept whole are compared whole."""
    assert not covers(live, wanted)


def test_the_number_of_pods_is_not_in_the_mark() -> None:
    """Each change of scale would be a write of all the rest too."""
    assert mark_of(deployment(replicas=3)) == mark_of(deployment(replicas=50))
    assert deployment(replicas=50)["spec"]["replicas"] == 50


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"template": {"nodeSelector": {"disk": "fast"}}}, {}),
        ({"template": {"env": [{"name": "A", "value": "1"}]}}, {"template": {"env": []}}),
        ({"template": {"labels": {"team": "shop"}}}, {}),
        ({"concurrency": 2}, {"concurrency": 3}),
    ],
)
def test_what_is_no_longer_said_makes_another_mark(before: dict[str, Any], after: dict[str, Any]) -> None:
    """The live object still has it, and all that is wanted too."""
    live, wanted = deployment(before), deployment(after)
    assert mark_of(live) != mark_of(wanted)
    assert not covers(live, wanted)


def test_a_mark_leaves_the_rest_as_it_is() -> None:
    """Annotations that are there stay; the manifest that was given is not changed."""
    given = {"kind": "X", "metadata": {"name": "a", "annotations": {"b": "c"}}}
    before = copy.deepcopy(given)
    marked = stamped(given)
    assert given == before
    assert marked["metadata"]["annotations"].items() >= {"b": "c"}.items()


def live(*owners: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "mail", "ownerReferences": list(owners), **metadata}}


def test_only_a_controller_keeps_an_object() -> None:
    """Somebody may name several owners."""
    keeper = {"uid": "u1", "controller": True}
    assert controller_of(live({"uid": "u2"}, keeper)) == keeper
    assert controller_of(live({"uid": "u1"})) == {}
    assert controller_of({"metadata": {"name": "mail"}}) == {}


def test_an_object_in_the_way_is_named_with_whoever_keeps_it() -> None:
    """The sentence says what must hold, what was found, and what to do."""
    assert clash(live(), "Deployment", KEY) == Fault(
        "Deployment mail must belong to QueueWorker mail, not to nobody that an owner reference names: "
        "delete it, or give the QueueWorker another name",
        False,
    )
    chart = clash(live({"kind": "Chart", "name": "shop", "uid": "c", "controller": True}), "Deployment", KEY)
    assert "not to Chart shop:" in chart.sentence
    assert not chart.passing


def test_what_one_that_is_gone_left_is_waited_for() -> None:
    """A QueueWorker that is deleted and made anew meets what the first one had, for a moment."""
    assert clash(live({"kind": "QueueWorker", "name": "mail", "uid": "u0", "controller": True}), "Deployment", KEY).passing
    assert clash(live(deletionTimestamp="2026-01-01T00:00:00Z"), "Deployment", KEY).passing


@pytest.mark.parametrize(
    ("code", "passing"), [(0, True), (409, True), (429, True), (500, True), (503, True), (403, False), (422, False)]
)
def test_a_refusal_says_the_api_servers_words(code: int, passing: bool) -> None:
    """What the API server would not take now may be taken later; what it must not take will not."""
    fault = refusal(deployment(), code, "the API server said: no")
    assert fault == Fault("Deployment mail must be acceptable to the API server, and is not: no", passing)


def test_a_podmonitor_without_its_crd_says_what_to_install() -> None:
    """The API server's own words are that it could not find the requested resource."""
    fault = refusal({"kind": "PodMonitor", "metadata": {"name": "mail"}}, 404, "the API server said: 404 page not found")
    assert "install the Prometheus operator's CRDs" in fault.sentence
    assert not fault.passing
