"""What a QueueWorker's status says of it, condition by condition, and when it is written."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from windrow.queues import QueueWorker
from windrow.scaling import Decision, Reason
from windrow_operator.conditions import Said, conditions, twins
from windrow_operator.state import DeploymentState, Figures, Key, PodState, Trouble, written
from windrow_operator.status import due, previous, status_of
from windrow_operator.statusschema import CONDITIONS, LONGEST_MESSAGE, status_schema
from windrow_operator.watched import Entry

NOW = 1_800_000_000.0
READ = Figures(read_at=NOW, ready=7, delayed=2, in_flight=3, workers=2, busy=2, desired=2)
SETTLED = DeploymentState(uid="d", generation=2, observed_generation=2, replicas=2, exists=2, updated=2, ready=2, available=2)
CRASH = Trouble("CrashLoopBackOff", "container worker: exit code 1 (Error), 5 restarts")


def entry(
    spec: dict[str, Any] | None = None, *, name: str = "mail", pods: list[PodState] | None = None, **fields: Any
) -> Entry:
    metadata = {"name": name, "namespace": "shop", "generation": 4, "creationTimestamp": "2026-01-01T00:00:00Z"}
    raw = {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": metadata, "spec": spec or {}}
    given: dict[str, Any] = {"spec": QueueWorker.model_validate(raw), "deployment": SETTLED, **fields}
    if pods is None:
        pods = [pod("a"), pod("b")]
    return Entry(key=Key("shop", name), raw=raw, pods={each.name: each for each in pods}, **given)


def pod(name: str, **changes: Any) -> PodState:
    ready = PodState(
        name=name, uid=name, created=NOW, phase="Running", scheduled=True, ready=True, terminating=False,
        template_hash="h", drained_cost=False, protected=False,
    )  # fmt: skip
    return dataclasses.replace(ready, **changes)


def deployment(**changes: Any) -> DeploymentState:
    return dataclasses.replace(SETTLED, **changes)


def said(given: Entry, figures: Figures | None, kind: str) -> Said | None:
    return next((each for each in conditions(given, figures) if each.type == kind), None)


CASES = [
    # Accepted
    pytest.param(entry(), READ, Said("Accepted", "True", "Applied", "The objects are applied."), id="applied"),
    pytest.param(
        entry(deployment=None),
        None,
        Said("Accepted", "Unknown", "NotYetApplied", "The objects are about to be applied."),
        id="new",
    ),
    pytest.param(
        entry(fault="spec.queue must be served by one QueueWorker, not 'mail' by two"),
        READ,
        Said("Accepted", "False", "QueueServedTwice", "spec.queue must be served by one QueueWorker, not 'mail' by two"),
        id="twin",
    ),
    pytest.param(
        entry(apply_fault="Deployment mail must be acceptable to the API server, which says: no"),
        READ,
        Said("Accepted", "False", "ApplyRefused", "Deployment mail must be acceptable to the API server, which says: no"),
        id="refused",
    ),
    pytest.param(
        entry({"template": {"env": [{"name": "REDIS_URL", "value": "x"}]}}),
        READ,
        Said(
            "Accepted",
            "True",
            "AppliedInPart",
            "The objects are applied but for template.env.REDIS_URL: the operator decides that.",
        ),
        id="set aside",
    ),
    # BrokerReadable
    pytest.param(entry(), READ, Said("BrokerReadable", "True", "Readable", "The queue's figures are of now."), id="readable"),
    pytest.param(entry(), None, Said("BrokerReadable", "Unknown", "NotYetRead", "The queue was not read yet."), id="not read"),
    pytest.param(
        entry(),
        dataclasses.replace(READ, fault="Redis must answer, and did not within 2s."),
        Said("BrokerReadable", "False", "Unreadable", "Redis must answer, and did not within 2s."),
        id="unreadable",
    ),
    pytest.param(
        entry(),
        Figures(fault="Secret own must be there."),
        Said("BrokerReadable", "False", "Unreadable", "Secret own must be there."),
        id="no secret",
    ),
    # WorkersHealthy
    pytest.param(entry(), READ, Said("WorkersHealthy", "True", "AllReady", "Every pod is ready."), id="healthy"),
    pytest.param(
        entry(deployment=None),
        READ,
        Said("WorkersHealthy", "Unknown", "NoDeployment", "There is no Deployment yet."),
        id="none yet",
    ),
    pytest.param(
        entry(deployment=deployment(replicas=0, exists=0, updated=0), pods=[]),
        READ,
        Said("WorkersHealthy", "True", "NoWorkers", "No worker is asked for."),
        id="at zero",
    ),
    pytest.param(
        entry(pods=[pod("a"), pod("b", ready=False)]),
        READ,
        Said("WorkersHealthy", "True", "NotAllReady", "1 of 2 pods are ready, none is in trouble."),
        id="starting",
    ),
    pytest.param(
        entry(deployment=deployment(replicas=0), pods=[pod("a", terminating=True, trouble=CRASH)]),
        READ,
        Said("WorkersHealthy", "True", "NoWorkers", "No worker is asked for."),
        id="a pod that goes is no trouble",
    ),
    pytest.param(
        entry(deployment=deployment(updated=1)),
        READ,
        Said("WorkersHealthy", "True", "RollingOut", "1 of 2 pods are of the newest template."),
        id="rolling",
    ),
    pytest.param(
        entry(
            deployment=deployment(updated=1),
            pods=[
                pod("a"),
                pod("b", ready=False, trouble=CRASH),
                pod("c", ready=False, trouble=CRASH),
                pod("d", ready=False, trouble=Trouble("Unschedulable", "0/3 nodes are available")),
                pod("e", phase="Failed", ready=False),
            ],
        ),
        READ,
        Said(
            "WorkersHealthy",
            "False",
            "CrashLoopBackOff",
            "2 of 4 pods do not come up (1 more for other reasons): CrashLoopBackOff, "
            "container worker: exit code 1 (Error), 5 restarts.",
        ),
        id="crash loop in a rollout",
    ),
    pytest.param(
        entry(deployment=deployment(trouble=Trouble("FailedCreate", "exceeded quota:\n compute")), pods=[]),
        READ,
        Said("WorkersHealthy", "False", "FailedCreate", "Pods can't be made: exceeded quota: compute."),
        id="quota",
    ),
    pytest.param(
        entry(deployment=deployment(trouble=Trouble("ProgressDeadlineExceeded", "timed out"))),
        READ,
        Said("WorkersHealthy", "False", "ProgressDeadlineExceeded", "The rollout is stuck: timed out."),
        id="stuck rollout",
    ),
    pytest.param(
        entry(pods=[]),
        READ,
        Said("WorkersHealthy", "True", "NotAllReady", "0 of 2 pods are ready, none is in trouble."),
        id="not made yet",
    ),
    pytest.param(
        entry(deployment=deployment(replicas=0)),
        READ,
        Said("WorkersHealthy", "True", "AllReady", "Every pod is ready."),
        id="about to go to zero",
    ),
    # ScalingActive
    pytest.param(
        entry(), Figures(), Said("ScalingActive", "Unknown", "NotYetDecided", "No decision was made yet."), id="nothing read"
    ),
    pytest.param(
        entry({"scaling": {"minReplicas": 1, "maxReplicas": 9}}),
        READ,
        Said("ScalingActive", "True", "Autoscaled", "The workers follow the queue, between 1 and 9."),
        id="autoscaled",
    ),
    pytest.param(
        entry({"replicas": 5}),
        READ,
        Said(
            "ScalingActive",
            "False",
            "Pinned",
            "A person fixed the number of workers to 5: run `windrow release mail -n shop` to have it autoscaled.",
        ),
        id="pinned by the spec",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, pinned=True, desired=3),
        Said(
            "ScalingActive",
            "False",
            "Pinned",
            "A person fixed the number of workers to 3: run `windrow release mail -n shop` to have it autoscaled.",
        ),
        id="pinned in Redis",
    ),
    pytest.param(
        entry({"paused": True}),
        READ,
        Said("ScalingActive", "False", "Paused", "Nothing is taken from the queue: set spec.paused to false to go on."),
        id="paused by the spec",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, paused=True),
        Said(
            "ScalingActive", "False", "Paused", "Nothing is taken from the queue: run `windrow release mail -n shop` to go on."
        ),
        id="paused by a person",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, fault="Redis must answer."),
        Said("ScalingActive", "False", "BrokerUnreadable", "No worker is taken away while the queue can't be read."),
        id="blind",
    ),
    pytest.param(
        entry(),
        dataclasses.replace(READ, held="A rollout is under way: no worker is taken away"),
        Said("ScalingActive", "False", "Held", "A rollout is under way: no worker is taken away."),
        id="held",
    ),
    pytest.param(
        entry(), None, Said("ScalingActive", "Unknown", "NotYetDecided", "No decision was made yet."), id="not yet decided"
    ),
    pytest.param(
        entry(fault="twin"),
        READ,
        Said("ScalingActive", "False", "NotAccepted", "The workers stay as they are until the spec is accepted."),
        id="not accepted",
    ),
    # TimeLimitsFit
    pytest.param(
        entry(), READ, Said("TimeLimitsFit", "True", "Fit", "No task asks for longer limits than the queue's."), id="fit"
    ),
    pytest.param(
        entry({"timeLimits": {"hard": "1m"}}),
        dataclasses.replace(READ, capped=("shop.b", "shop.a")),
        Said(
            "TimeLimitsFit",
            "False",
            "Capped",
            "Time limits must stay within the hard limit of queue mail (1m): capped for shop.a, shop.b; "
            "raise spec.timeLimits.hard to let them run longer",
        ),
        id="capped",
    ),
]


@pytest.mark.parametrize(("given", "figures", "expected"), CASES)
def test_each_condition_says_what_holds(given: Entry, figures: Figures | None, expected: Said) -> None:
    assert said(given, figures, expected.type) == expected


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


def test_every_condition_is_documented_and_made_in_the_same_order() -> None:
    assert [each.type for each in conditions(entry(), READ)] == list(CONDITIONS)


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


def test_another_number_of_pods_is_no_rollout() -> None:
    scaled = entry(deployment=deployment(generation=3, replicas=2))
    healthy = said(scaled, READ, "WorkersHealthy")
    assert healthy is not None
    assert healthy.reason == "AllReady"


def test_another_trouble_is_told_at_once() -> None:
    crash = status_of(entry(pods=[pod("a", trouble=CRASH)]), READ, NOW)
    image = status_of(entry(pods=[pod("a", trouble=Trouble("ErrImagePull", "no"))]), READ, NOW)
    assert due(crash, image, 0)


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
