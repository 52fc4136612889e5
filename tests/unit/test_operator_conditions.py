"""What each condition says of a QueueWorker."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.operator_status_cases import CASES, READ, deployment, entry, said
from windrow_operator.conditions import Said, conditions, twins
from windrow_operator.state import Figures, Key
from windrow_operator.statusschema import CONDITIONS
from windrow_operator.watched import Entry


@pytest.mark.parametrize(("given", "figures", "expected"), CASES)
def test_each_condition_says_what_holds(given: Entry, figures: Figures | None, expected: Said) -> None:
    assert said(given, figures, expected.type) == expected


def test_every_condition_is_documented_and_made_in_the_same_order() -> None:
    assert [each.type for each in conditions(entry(), READ)] == list(CONDITIONS)


def test_another_number_of_pods_is_no_rollout() -> None:
    scaled = entry(deployment=deployment(generation=3, replicas=2))
    healthy = said(scaled, READ, "WorkersHealthy")
    assert healthy is not None
    assert healthy.reason == "AllReady"


def made(name: str, at: str, spec: dict[str, Any] | None = None, namespace: str = "shop") -> Entry:
    given = entry(spec, name=name)
    given.key = Key(namespace, name)
    given.raw["metadata"]["creationTimestamp"] = at
    return given


def test_a_queue_is_served_by_the_oldest_that_asks_for_it() -> None:
    old = made("mail", "2026-01-01T00:00:00Z")
    new = made("post", "2026-01-02T00:00:00Z", {"queue": "mail"})
    elsewhere = made("mail", "2026-01-03T00:00:00Z", namespace="other")
    assert twins([elsewhere, new, old]) == {
        Key("shop", "post"): "spec.queue must be served by one QueueWorker, not 'mail' by shop/mail and shop/post: "
        "delete one or give it another queue",
        Key("other", "mail"): "spec.queue must be served by one QueueWorker, not 'mail' by shop/mail and other/mail: "
        "delete one or give it another queue",
    }


def test_the_same_name_on_another_redis_is_another_queue() -> None:
    ours = made("mail", "2026-01-01T00:00:00Z")
    own = made("own", "2026-01-02T00:00:00Z", {"queue": "mail", "connection": {"secretRef": {"name": "redis"}}})
    theirs = made("own", "2026-01-02T00:00:00Z", {"queue": "mail", "connection": {"secretRef": {"name": "redis"}}}, "other")
    assert twins([ours, own, theirs]) == {}
