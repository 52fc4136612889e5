"""What a QueueWorker's status says, and when it is written."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit.operator_status_cases import CRASH, NOW, READ, entry, pod, said
from windrow.scaling import Decision, Reason
from windrow_operator.state import Figures, Trouble, written
from windrow_operator.status import due, previous, status_of
from windrow_operator.statusschema import LONGEST_MESSAGE, status_schema


def test_a_spec_that_cannot_be_read_is_said_with_its_sentence() -> None:
    unread = entry(fault="spec.pool must be prefork, asyncio or threads, not 'gevent'")
    unread.spec = None
    accepted = said(unread, None, "Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
    status = status_of(unread, None, NOW)
    assert "queue" not in status
    assert "mode" not in status


def test_before_anything_is_known_nothing_is_claimed() -> None:
    status = status_of(entry(deployment=None, pods=[]), Figures(), NOW)
    del status["conditions"]
    assert status == {
        "observedGeneration": 4,
        "replicas": 0,
        "selector": "windrow.dev/queueworker=mail",
        "queue": "mail",
        "mode": "Auto",
    }


def test_what_the_last_workers_said_of_time_limits_stays_when_there_are_none() -> None:
    given = entry()
    given.status = status_of(given, dataclasses.replace(READ, capped=("shop.a",)), NOW)
    nobody = dataclasses.replace(READ, workers=0)
    (kept,) = (c for c in status_of(given, nobody, NOW + 60)["conditions"] if c["type"] == "TimeLimitsFit")
    assert (kept["status"], kept["lastTransitionTime"]) == ("False", written(NOW))
    assert said(entry(), nobody, "TimeLimitsFit") is None


def test_a_status_has_the_figures_and_what_scale_needs() -> None:
    decision = Decision(2, Reason.COUNTED, "7 ready and 3 in flight on 2 slots each")
    status = status_of(entry(), dataclasses.replace(READ, oldest_since=NOW - 9, decision=decision), NOW)
    assert {key: value for key, value in status.items() if key != "conditions"} == {
        "observedGeneration": 4,
        "replicas": 2,
        "selector": "windrow.dev/queueworker=mail",
        "queue": "mail",
        "mode": "Auto",
        "ready": 7,
        "delayed": 2,
        "inFlight": 3,
        "oldestSince": written(NOW - 9),
        "workers": 2,
        "desired": 2,
        "lastDecision": {
            "replicas": 2,
            "reason": "counted",
            "sentence": "7 ready and 3 in flight on 2 slots each",
            "time": written(NOW),
        },
    }


@pytest.mark.parametrize(
    ("spec", "changes", "mode"),
    [
        ({}, {}, "Auto"),
        ({"replicas": 0}, {}, "Pinned"),
        ({}, {"pinned": True}, "Pinned"),
        ({"paused": True, "replicas": 1}, {}, "Paused"),
        ({}, {"paused": True}, "Paused"),
    ],
)
def test_the_mode_says_who_decides(spec: dict[str, Any], changes: dict[str, Any], mode: str) -> None:
    assert status_of(entry(spec), dataclasses.replace(READ, **changes), NOW)["mode"] == mode


def test_figures_of_an_earlier_reading_stay_while_there_is_none() -> None:
    given = entry()
    given.status = status_of(given, READ, NOW)
    for blind in (None, Figures(fault="Redis must answer.")):
        status = status_of(given, blind, NOW + 60)
        assert (status["ready"], status["inFlight"], status["workers"], status["desired"]) == (7, 3, 2, 2)


def test_the_oldest_is_gone_with_the_last_ready_task_and_does_not_waver() -> None:
    given = entry()
    given.status = status_of(given, dataclasses.replace(READ, oldest_since=NOW), NOW)
    assert status_of(given, dataclasses.replace(READ, oldest_since=NOW + 1.4), NOW)["oldestSince"] == written(NOW)
    assert status_of(given, dataclasses.replace(READ, oldest_since=NOW + 3), NOW)["oldestSince"] == written(NOW + 3)
    assert "oldestSince" not in status_of(given, READ, NOW)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    given = entry()
    given.status = status_of(given, READ, NOW)
    again = status_of(given, dataclasses.replace(READ, held="a rollout"), NOW + 60)
    times = {c["type"]: c["lastTransitionTime"] for c in again["conditions"]}
    assert times["ScalingActive"] == written(NOW + 60)
    assert times["Accepted"] == written(NOW)
    given.status = again
    reworded = status_of(given, dataclasses.replace(READ, held="a pending pod"), NOW + 90)
    assert {c["type"]: c["lastTransitionTime"] for c in reworded["conditions"]}["ScalingActive"] == written(NOW + 60)


def test_the_same_decision_again_is_the_old_one() -> None:
    given = entry()
    given.status = status_of(given, dataclasses.replace(READ, decision=Decision(2, Reason.COUNTED, "first")), NOW)
    for decision, time in (
        (Decision(2, Reason.COUNTED, "again"), NOW),
        (None, NOW),
        (Decision(3, Reason.COUNTED, "more"), NOW + 9),
        (Decision(2, Reason.AT_MAX, "another reason"), NOW + 9),
    ):
        status = status_of(given, dataclasses.replace(READ, decision=decision), NOW + 9)
        assert status["lastDecision"]["time"] == written(time)


def test_an_operator_that_begins_goes_on_from_the_status_the_api_server_has() -> None:
    given = entry()
    given.raw["status"] = status_of(given, READ, NOW)
    assert previous(given)["ready"] == 7
    assert status_of(given, READ, NOW + 60) == given.raw["status"], "so that a restart writes nothing"


def test_no_message_is_longer_than_the_schema_allows() -> None:
    given = entry(pods=[pod("a", trouble=Trouble("Unschedulable", "x" * 5000))])
    status = status_of(given, dataclasses.replace(READ, decision=Decision(1, Reason.IDLE, "y" * 5000)), NOW)
    assert max(len(c["message"]) for c in status["conditions"]) == LONGEST_MESSAGE
    assert len(status["lastDecision"]["sentence"]) == LONGEST_MESSAGE


def test_a_status_has_no_key_that_the_schema_does_not_know() -> None:
    figures = dataclasses.replace(READ, oldest_since=NOW, decision=Decision(1, Reason.IDLE, "y"))
    status, schema = status_of(entry(), figures, NOW), status_schema()["properties"]
    assert set(status) == set(schema)
    assert set(status["lastDecision"]) == set(schema["lastDecision"]["properties"])
    assert set(status["conditions"][0]) == set(schema["conditions"]["items"]["properties"])


@pytest.mark.parametrize(
    ("change", "after", "written_now"),
    [
        ({}, 999, False),
        ({"ready": 8}, 4.9, False),
        ({"ready": 8}, 5, True),
        ({"replicas": 3}, 0.9, False),
        ({"replicas": 3}, 1, True),
        ({"mode": "Pinned"}, 0, True),
        ({"observedGeneration": 5}, 0, True),
    ],
)
def test_what_alarms_is_written_at_once_and_counts_when_they_are_due(
    change: dict[str, Any], after: float, written_now: bool
) -> None:
    old = status_of(entry(), READ, NOW)
    assert due(old, {**old, **change}, after) is written_now


def test_a_condition_that_turns_is_written_at_once_but_other_words_for_it_are_not() -> None:
    old = status_of(entry(), READ, NOW)
    turned = status_of(entry(pods=[pod("a"), pod("b", trouble=CRASH)]), READ, NOW)
    assert due(old, turned, 0)
    more = status_of(entry(pods=[pod("a", trouble=CRASH), pod("b", trouble=CRASH)]), READ, NOW)
    assert not due(turned, more, 1)
    assert due(turned, more, 5)


def test_pods_that_start_and_end_are_no_alarm() -> None:
    ready = status_of(entry(), READ, NOW)
    starting = status_of(entry(pods=[pod("a"), pod("b", ready=False)]), READ, NOW)
    assert ready != starting
    assert not due(ready, starting, 4.9)
    assert due(ready, starting, 5)


def test_another_trouble_is_told_at_once() -> None:
    crash = status_of(entry(pods=[pod("a", trouble=CRASH)]), READ, NOW)
    image = status_of(entry(pods=[pod("a", trouble=Trouble("ErrImagePull", "no"))]), READ, NOW)
    assert due(crash, image, 0)
