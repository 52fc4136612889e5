"""How spec.replicas follows when things are not as they should be: pods that don't come up, views that lag, hands of others."""

from __future__ import annotations

from tests.unit.operator_cases import NOW, UNSCHEDULABLE, deployment, info, knowing, pending, pod, reading, sized
from windrow_operator.sizing import Hold
from windrow_operator.state import Trouble


def test_a_drained_pod_without_a_mark_is_not_called_back_among_doomed_ones() -> None:
    """While the ReplicaSet has pods to delete nobody who drained is called back, marked or not."""
    pods = [pod(0), pod(1, drained_cost=True, ready=False), pod(2, ready=False)]
    seen = reading(info(0, 2), info(1, drain="drained"), info(2, drain="drained"), ready=2, in_flight=2, mean_run=None)
    assert sized(pods, seen, 2).withdraw == ()


def test_pods_that_can_not_be_created_are_not_answered_with_more() -> None:
    """A quota in the way is told, and more need asks for no more."""
    has = deployment(2, exists=1, updated=1, trouble=Trouble("FailedCreate", "exceeded quota"))
    made = sized([pod(0)], reading(info(0, 2), ready=9, in_flight=2, mean_run=None), has)
    assert made.replicas == 2
    assert made.held is not None
    assert (made.held.reason, "FailedCreate: exceeded quota" in made.held.sentence) == (Hold.TROUBLE, True)


def test_one_pod_without_a_node_speaks_for_all_that_would_follow() -> None:
    """A cluster without room for one more has none for two."""
    pods = [*(pod(n) for n in range(9)), pending(9, scheduled=False, trouble=UNSCHEDULABLE)]
    made = sized(pods, reading(*(info(n, 2) for n in range(9)), ready=9, in_flight=18, mean_run=None), 10)
    assert made.replicas == 10
    assert made.held is not None
    assert made.held.reason is Hold.TROUBLE


def test_nothing_is_lowered_while_some_pods_were_not_seen() -> None:
    """The Deployment counts four pods, two are known: what goes now could be one of the others."""
    pods = [pod(0), pod(1, drained_cost=True, ready=False)]
    assert sized(pods, reading(info(0, 1), info(1, drain="drained")), deployment(2, exists=4, updated=4)).replicas == 2


def test_to_nought_not_before_its_pods_are_made() -> None:
    """What the ReplicaSet is about to create may be at work in a moment."""
    pods = [pod(0, drained_cost=True, ready=False)]
    seen = reading(info(0, drain="drained"))
    assert sized(pods, seen, deployment(3, exists=1, updated=1)).replicas == 3
    assert sized(pods, seen, deployment(3, exists=1, updated=1), knowing(short=NOW - 130)).replicas == 0


def test_nobody_is_asked_while_others_are_deleted_that_never_drained() -> None:
    """Somebody lowered the Deployment's own number below what runs: who is left is seen first."""
    pods = [pod(n) for n in range(4)]
    made = sized(pods, reading(info(0, 1), *(info(n) for n in (1, 2, 3))), 2)
    assert (made.replicas, made.ask) == (2, ())
    assert made.held is not None
    assert made.held.reason is Hold.OWED


def test_pods_given_up_because_they_did_not_come_up_hold_nothing() -> None:
    """Those that never served are what the ReplicaSet deletes now; nothing else is meant by their number."""
    pods = [pod(0), pod(1), *(pending(n, scheduled=False, trouble=UNSCHEDULABLE) for n in (2, 3, 4))]
    made = sized(pods, reading(info(0, 2), info(1)), 2)
    assert (made.replicas, made.held, made.ask) == (2, None, ("id-001",))


def test_who_drained_is_called_back_in_place_of_a_pod_that_does_not_come_up() -> None:
    """A drained worker may hold the room that another pod waits for."""
    pods = [pod(0, drained_cost=True, ready=False), pending(1, scheduled=False, trouble=UNSCHEDULABLE)]
    made = sized(pods, reading(info(0, drain="drained"), ready=2, mean_run=None), 2)
    assert (made.withdraw, made.replicas) == (("id-000",), 2)


def test_who_drained_or_was_not_ready_is_no_wrong_victim() -> None:
    """It has drained since the last look, or had not begun to serve: nothing was lost with it."""
    before = knowing(owed=1, serving=frozenset({"q-000"}))
    assert sized([pod(0, terminating=True)], reading(info(0, drain="drained")), 0, before).wrong_victims == ()
    assert sized([pod(0, terminating=True), pod(1)], reading(info(0, drain="drained"), info(1)), 1, before).wrong_victims == ()
    assert sized([pod(0, ready=False)], reading(info(0)), 1).memory.serving == frozenset()
