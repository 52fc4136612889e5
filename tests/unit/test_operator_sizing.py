"""How spec.replicas, requests to drain and marks follow from what is seen: each rule once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.operator_cases import CRASHING, NOW, UNSCHEDULABLE, deployment, info, knowing, pending, pod, reading, sized
from windrow.scaling import History, Reason
from windrow_operator.names import DELETION_COST, DRAINED_COST
from windrow_operator.sizing import SETTLE_SECONDS, Hold, Memory

PINNED_AT_FIVE = "{concurrency: 2, replicas: 5, timeLimits: {hard: 5m}}"


def test_from_nought_to_all_in_one_step() -> None:
    """A burst onto a queue at nought asks for all its pods at once, also of somebody who has just started to look."""
    made = sized([], reading(ready=500, mean_run=None), 0, Memory(), "{concurrency: 10, scaling: {maxReplicas: 50}}")
    assert (made.replicas, made.decision.reason, made.held) == (50, Reason.NO_HISTORY, None)


def test_pods_that_are_coming_are_not_asked_for_again() -> None:
    """What was asked for and is not there yet counts, so ten ready tasks at concurrency 2 stay five workers."""
    made = sized([pending(0), pending(1)], reading(ready=10, mean_run=None), 5)
    assert (made.replicas, made.held) == (5, None)


def test_the_deployment_that_is_not_there_yet_is_told_what_it_shall_have() -> None:
    """Before there is a Deployment the number is already known: its first apply carries it."""
    assert sized([], reading(ready=10, mean_run=None), None, Memory()).replicas == 5


def test_idle_workers_are_asked_and_stay_until_they_have_drained() -> None:
    """Scale-in begins with a request to the idle ones; the number stays what it is."""
    made = sized([pod(0), pod(1), pod(2)], reading(info(0), info(1, 2), info(2)), 3)
    assert made.replicas == 3
    assert made.ask == ("id-002", "id-000")
    assert made.annotations == {}


def test_an_idle_worker_goes_in_place_of_one_that_was_asked_and_is_busy() -> None:
    """Who took a task in the moment in which it was asked works on, and an idle one is asked in its place."""
    made = sized([pod(0), pod(1)], reading(info(0), info(1, 1, drain="asked")), 2, knowing(need=1))
    assert (made.ask, made.withdraw, made.replicas) == (("id-000",), ("id-001",), 2)


def test_who_has_drained_is_marked_first() -> None:
    """A worker that has drained gets the low cost; while it lacks it, or is ready, the number stays."""
    workers = (info(0, 2), info(1, drain="drained"))
    made = sized([pod(0), pod(1)], reading(*workers), 2)
    assert (made.replicas, made.annotations) == (2, {"q-001": {DELETION_COST: DRAINED_COST}})
    assert sized([pod(0), pod(1, drained_cost=True)], reading(*workers), 2).replicas == 2
    assert sized([pod(0), pod(1, ready=False)], reading(*workers), 2).replicas == 2


def test_the_number_goes_down_by_those_confirmed() -> None:
    """Drained, marked and not ready: only by so many the number goes down, though fewer were enough."""
    pods = [pod(0), pod(1), *(pod(n, drained_cost=True, ready=False) for n in (2, 3))]
    made = sized(pods, reading(info(0, 1), info(1, drain="asked"), *(info(n, drain="drained") for n in (2, 3))), 4)
    assert (made.replicas, made.held, made.memory.owed) == (2, None, 2)


def test_one_step_at_a_time() -> None:
    """While the ReplicaSet has pods to delete, those that drained since do not go down with them."""
    pods = [pod(0), *(pod(n, drained_cost=True, ready=False) for n in (1, 2, 3))]
    made = sized(pods, reading(info(0, 1), *(info(n, drain="drained") for n in (1, 2, 3))), 3)
    assert (made.replicas, made.withdraw) == (3, ())


def test_a_rollout_takes_nobody_away() -> None:
    """During a rollout a ReplicaSet's choice is not ours: nobody is asked, the number stays, and the reason is told."""
    for has in (deployment(2, updated=1), deployment(2)):
        pods = [pod(0), pod(1, template_hash="two" if has.updated == 2 else "one")]
        made = sized(pods, reading(info(0, 1), info(1)), has)
        assert (made.replicas, made.ask) == (2, ())
        assert made.held is not None
        assert made.held.reason is Hold.ROLLING


def test_nothing_is_lowered_before_the_last_number_was_looked_at() -> None:
    """A Deployment whose newest spec its controller has not seen is left alone."""
    pods = [pod(0), pod(1, drained_cost=True, ready=False)]
    made = sized(pods, reading(info(0, 1), info(1, drain="drained")), deployment(2, generation=4))
    assert (made.replicas, made.held) == (2, None)


@pytest.mark.parametrize("other", [pending(2), pod(2, ready=False), None])
def test_a_pod_that_comes_up_takes_nobody_away(other: object) -> None:
    """A pod that is Pending, not ready or not even there would be given up before one that drained: the number stays."""
    pods = [pod(0), pod(1, drained_cost=True, ready=False), *([other] if other else [])]
    made = sized(pods, reading(info(0, 1), info(1, drain="drained")), 3)  # type: ignore[arg-type]
    assert made.replicas == 3
    assert made.held is not None
    assert made.held.reason is Hold.PENDING


def test_to_nought_though_a_pod_does_not_come_up() -> None:
    """When nothing is left to do and each worker has drained, all go, those that never came up too, also in a rollout."""
    pods = [pod(0, drained_cost=True), pending(1, template_hash="two", trouble=UNSCHEDULABLE)]
    assert sized(pods, reading(info(0, drain="drained")), 2).replicas == 0
    # One that starts may be at work in a moment: it is waited for.
    assert sized([pods[0], pending(1)], reading(info(0, drain="drained")), 2).replicas == 2
    busy = sized(pods, reading(info(0), in_flight=0), 2)
    assert (busy.replicas, busy.ask) == (2, ("id-000",))


def test_a_ready_pod_whose_worker_is_unknown_does_not_go() -> None:
    """Redis may have lost its workers' names: a pod that is ready may be at work, so it is not taken to nought."""
    made = sized([pod(0), pod(1)], reading(), 2)
    assert (made.replicas, made.ask) == (2, ())


def test_pods_that_never_came_up_go_before_any_worker() -> None:
    """Unschedulable pods beyond what is needed are given up without waiting: no worker serves there, and they come first."""
    pods = [pod(0), pod(1), *(pending(n, scheduled=False, trouble=UNSCHEDULABLE) for n in (2, 3, 4))]
    made = sized(pods, reading(info(0, 2), info(1, 2), in_flight=4), 5)
    assert (made.replicas, made.ask) == (2, ())
    # One that has just been made may be ready in a moment, and is waited for.
    assert sized([*pods, pending(5)], reading(info(0, 2), info(1, 2)), 6).replicas == 6


def test_pods_that_their_replicaset_can_not_create_go_in_the_end() -> None:
    """With a quota in the way the ReplicaSet creates nothing: after two minutes the number follows what is needed."""
    seen = reading(info(0, 2), in_flight=2)
    assert sized([pod(0)], seen, 9, knowing(short=NOW - 30)).replicas == 9
    assert sized([pod(0)], seen, 9, knowing(short=NOW - 130)).replicas == 1


def test_those_asked_are_called_back_before_any_pod_is_made() -> None:
    """When more is needed, who was asked works on, and only what is still missing is made."""
    pods = [pod(0), pod(1)]
    made = sized(pods, reading(info(0, 2), info(1, drain="asked"), ready=4, in_flight=2, mean_run=None), 2)
    assert (made.withdraw, made.replicas) == (("id-001",), 3)


def test_who_drained_is_called_back_when_surely_nobody_deletes_it() -> None:
    """A marked pod is called back, and its mark taken off, only after the ReplicaSet has had nothing to delete for a while."""
    pods = [pod(0), pod(1, drained_cost=True, ready=False)]
    seen = reading(info(0, 2), info(1, drain="drained"), ready=2, in_flight=2, mean_run=None)
    made = sized(pods, seen, 2)
    assert (made.withdraw, made.replicas) == (("id-001",), 2)
    assert made.annotations == {"q-001": {DELETION_COST: None}}
    for memory in (Memory(), knowing(lowered=NOW - SETTLE_SECONDS / 2)):
        made = sized(pods, seen, 2, memory)
        assert (made.withdraw, made.replicas, made.annotations) == ((), 3, {})


def test_a_doomed_pod_is_not_called_back() -> None:
    """While more pods exist than asked for, any drained one may be the one that goes: others are made."""
    pods = [pod(0), *(pod(n, drained_cost=True, ready=False) for n in (1, 2))]
    seen = reading(info(0, 2), info(1, drain="drained"), info(2, drain="drained"), ready=6, in_flight=2, mean_run=None)
    made = sized(pods, seen, 2)
    assert (made.withdraw, made.replicas) == ((), 5)
    assert made.memory.lowered == NOW


def test_a_mark_of_a_worker_that_serves_is_taken_off() -> None:
    """Who was killed between withdrawing and unmarking finds the mark, and takes it off."""
    assert sized([pod(0, drained_cost=True)], reading(info(0, 1)), 1).annotations == {"q-000": {DELETION_COST: None}}


@pytest.mark.parametrize(
    "bad",
    [
        [pending(1, scheduled=False, trouble=UNSCHEDULABLE)],
        [pod(1, ready=False, trouble=CRASHING), pod(2, ready=False, trouble=CRASHING)],
    ],
)
def test_trouble_is_not_answered_with_more_pods(bad: list) -> None:
    """While pods find no node, or half of them crash, more are needed and not asked for; the sentence names pod and reason."""
    made = sized([pod(0), *bad], reading(info(0, 2), ready=90, in_flight=2, mean_run=None), 1 + len(bad))
    assert made.replicas == 1 + len(bad)
    assert made.decision.replicas == 46
    assert made.held is not None
    assert made.held.reason is Hold.TROUBLE
    assert "pod q-001 does not come up" in made.held.sentence
    assert bad[0].trouble.reason in made.held.sentence


def test_one_bad_pod_of_many_does_not_stop_the_others() -> None:
    """One of five that crashes says nothing about a sixth."""
    pods = [*(pod(n) for n in range(4)), pod(4, ready=False, trouble=CRASHING)]
    made = sized(pods, reading(*(info(n, 2) for n in range(4)), ready=4, in_flight=8, mean_run=None), 5)
    assert (made.replicas, made.held) == (6, None)


def test_a_rollout_is_not_answered_with_more_pods() -> None:
    """More pods wait for the end of a rollout; a person's number does not."""
    pods = [pod(0), pod(1, template_hash="two")]
    seen = reading(info(0, 2), info(1, 2), ready=90, in_flight=4, mean_run=None)
    made = sized(pods, seen, 2)
    assert made.replicas == 2
    assert made.held is not None
    assert made.held.reason is Hold.ROLLING
    assert sized(pods, seen, 2, body=PINNED_AT_FIVE).replicas == 5


def test_a_pin_down_waits_for_the_busy() -> None:
    """Fewer than are busy were pinned: busy ones are asked, and each goes when it has finished, not before."""
    pods = [pod(n) for n in range(7)]
    made = sized(pods, reading(*(info(n, 2) for n in range(7))), 7, body=PINNED_AT_FIVE)
    assert (made.replicas, made.ask) == (7, ("id-006", "id-005"))


def test_unreadable_holds() -> None:
    """Without a reading nobody goes, also after a restart; from nought the fallback comes."""
    pods = [pod(n) for n in range(20)]
    for memory in (Memory(), knowing(need=3), knowing(need=20)):
        made = sized(pods, None, 20, memory)
        assert (made.replicas, made.ask, made.withdraw, made.annotations) == (20, (), (), {})
    made = sized([], None, 0)
    assert (made.replicas, made.decision.reason) == (2, Reason.FALLBACK)
    assert sized([*pods[:18], pod(18, drained_cost=True, ready=False), pod(19)], None, 19, Memory()).replicas == 19


def test_stale_figures_take_nobody_away() -> None:
    """The same reading twice asks nobody and lowers nothing."""
    pods = [pod(0), pod(1, drained_cost=True, ready=False), pod(2)]
    made = sized(pods, reading(info(0, 1), info(1, drain="drained"), info(2)), 3, knowing(at=NOW))
    assert (made.replicas, made.ask) == (3, ())
    assert made.held is not None
    assert made.held.reason is Hold.STALE


def test_a_number_lowered_by_hand_is_put_back() -> None:
    """Somebody lowered the Deployment's own number: it goes back up, since busy workers would go."""
    pods = [pod(n) for n in range(4)]
    made = sized(pods, reading(*(info(n, 2) for n in range(4))), 2, knowing(need=4))
    assert (made.replicas, made.ask) == (4, ())


def test_terminating_pods_are_no_workers_and_their_tasks_no_need() -> None:
    """What pods on their way out still run is finished there: it asks for no worker but the last one."""
    pods = [pod(n, terminating=True) for n in range(4)]
    made = sized(pods, reading(*(info(n, 2) for n in range(4)), mean_run=None), 0)
    assert made.replicas == 1


def test_a_container_started_anew_is_another_worker() -> None:
    """Of two workers in one pod the newer is the pod's; the older died with its container."""
    old = replace(info(0, drain="drained"), id="old", started=NOW - 500)
    made = sized([pod(0)], reading(old, info(0, 1)), 1)
    assert (made.replicas, made.annotations, made.memory.serving) == (1, {}, frozenset({"q-000"}))


def test_wrong_victims_are_told_once() -> None:
    """A pod that the ReplicaSet gave up, though its worker served, is told; one that had drained or was marked is not."""
    before = knowing(owed=2, serving=frozenset({"q-000", "q-001", "q-002", "q-003"}))
    pods = [pod(0, terminating=True), pod(1), pod(2, terminating=True, drained_cost=True)]
    made = sized(pods, reading(info(0, 1), info(1, 1)), 1, before)
    assert made.wrong_victims == ("q-000", "q-003")
    assert sized(pods, reading(info(0, 1), info(1, 1), at=NOW + 1), 1, made.memory, now=NOW + 1).wrong_victims == ()
    blind = sized(pods, None, 1, before)
    assert sized(pods, None, 1, replace(blind.memory, owed=1)).wrong_victims == ()


def test_without_a_step_down_nobody_is_a_wrong_victim() -> None:
    """A pod that was evicted or deleted by a person is none of ours."""
    made = sized([], reading(), 1, knowing(serving=frozenset({"q-000"})))
    assert made.wrong_victims == ()


def test_the_window_begins_anew_after_a_restart() -> None:
    """Who has forgotten what was needed takes nobody away before it has looked for the whole window."""
    made = sized([pod(0), pod(1)], reading(info(0), info(1)), 2, Memory(history=History()))
    assert (made.ask, made.decision.reason) == ((), Reason.COOLING_DOWN)


def test_pods_that_were_not_seen_yet_are_not_taken_away() -> None:
    """Right after a start the Deployment is known before its pods: nothing goes while its status counts more of them."""
    made = sized([], reading(), deployment(5))
    assert (made.replicas, made.ask) == (5, ())


def test_who_is_called_back_does_not_go_down_with_the_others() -> None:
    """In the moment in which one of those that drained is called back, the number stays: it would be one too low."""
    pods = [pod(0), *(pod(n, drained_cost=True, ready=False) for n in (1, 2))]
    seen = reading(info(0, 2), info(1, drain="drained"), info(2, drain="drained"), ready=2, in_flight=2, mean_run=None)
    made = sized(pods, seen, 3)
    assert (made.withdraw, made.replicas) == (("id-001",), 3)


@pytest.mark.parametrize("seconds", [2, 30, 500])
def test_what_was_not_looked_at_makes_nothing_smaller(seconds: int) -> None:
    """A queue at nought that is passed over, and then looked at once as the scaler does, asks for as much as any other."""
    always, passed = Memory(), Memory()
    for at in range(seconds):
        always = sized([], reading(at=NOW + at, mean_run=None), 0, always, now=NOW + at).memory
        if at in (0, seconds - 1):
            passed = sized([], reading(at=NOW + at, mean_run=None), 0, passed, now=NOW + at).memory
    burst = reading(ready=300, at=NOW + seconds, mean_run=0.5)
    looked, late = (sized([], burst, 0, memory, now=NOW + seconds) for memory in (always, passed))
    assert late.replicas >= looked.replicas > 0
    assert late.memory.history.since is not None
    assert late.memory.history.since >= (looked.memory.history.since or 0)
