"""How many workers a queue shall have, and why: one case for each rule and each reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.scaling_cases import first_decision, spec, workers
from windrow.scaling import Decision, History, Observation, Reason, decide
from windrow.scaling.need import HEADROOM, derived_slots

DEFAULT = spec()
CASES = {
    "an empty queue needs nobody": (DEFAULT, Observation(0), 0, Reason.IDLE),
    "minReplicas stay": (spec("{scaling: {minReplicas: 2}}"), Observation(0), 2, Reason.AT_MIN),
    "running and few ready tasks are counted, without headroom": (
        DEFAULT,
        Observation(0, ready=3, in_flight=2, mean_run=5.0, workers=workers(1, 2)),
        3,
        Reason.COUNTED,
    ),
    "a quick task is not a whole slot": (
        DEFAULT,
        Observation(0, ready=4, in_flight=0, mean_run=0.05),
        1,
        Reason.COUNTED,
    ),
    "what waits behind long tasks gets a worker, however quick it is": (
        DEFAULT,
        Observation(0, ready=1, in_flight=2, mean_run=0.001, workers=workers(1, 2)),
        2,
        Reason.COUNTED,
    ),
    "long tasks are counted however many": (
        DEFAULT,
        Observation(0, ready=60, mean_run=600.0),
        30,
        Reason.COUNTED,
    ),
    "many ready: so many slots that the oldest starts in time": (
        DEFAULT,
        Observation(0, ready=3000, mean_run=0.1),
        6,  # 3000 × 0.1 s ÷ 30 s = 10 slots; ÷ 0.85 = 11.8; at 2 slots a worker
        Reason.WAIT_TARGET,
    ),
    "the age of the oldest is time that is gone": (
        DEFAULT,
        Observation(0, ready=3000, mean_run=0.1, oldest_age=15.0),
        12,
        Reason.WAIT_TARGET,
    ),
    "arrivals need their own slots": (
        DEFAULT,
        Observation(0, ready=100, mean_run=1.0, arrival_rate=20.0),
        12,  # 20/s × 1 s = 20 slots; ÷ 0.85 = 23.5
        Reason.WAIT_TARGET,
    ),
    "no run time known: a slot for each ready task": (DEFAULT, Observation(0, ready=30), 15, Reason.NO_HISTORY),
    "no run time known: never beyond maxReplicas": (DEFAULT, Observation(0, ready=3000), 50, Reason.AT_MAX),
    "one worker waits for what is due soon": (DEFAULT, Observation(0, delayed=9, due_soon=3), 1, Reason.DUE_SOON),
    "what is due later needs nobody": (DEFAULT, Observation(0, delayed=9), 0, Reason.IDLE),
    "a rate limit holds back what is not need": (
        spec("{rateLimit: 10/s}"),
        Observation(0, ready=5000, mean_run=0.5),
        6,  # 10 starts in the second that a slot is counted for, and 1 at once
        Reason.RATE_LIMITED,
    ),
    "at least the busy workers": (
        DEFAULT,
        Observation(0, in_flight=4, mean_run=5.0, workers=workers(4, 1)),
        4,
        Reason.BUSY_FLOOR,
    ),
    "what is only taken ahead is not running": (
        DEFAULT,
        # One worker, both slots busy with tasks of 1 ms, 16 more taken ahead: no reason for nine workers.
        Observation(0, in_flight=18, mean_run=0.001, workers=(replace(workers(1, 2)[0], taken=18),)),
        2,
        Reason.COUNTED,
    ),
    "a paused queue needs nothing new": (
        spec("{paused: true}"),
        Observation(0, ready=900, in_flight=2, workers=workers(1, 2)),
        1,
        Reason.PAUSED,
    ),
    "paused by a person": (DEFAULT, Observation(0, ready=900, paused=True), 0, Reason.PAUSED),
    "pinned means that number": (DEFAULT, Observation(0, ready=900, pinned=70), 70, Reason.PINNED),
    "pinned to nought too": (DEFAULT, Observation(0, ready=900, pinned=0), 0, Reason.PINNED),
    "pinned in the spec": (spec("{replicas: 4}"), Observation(0), 4, Reason.PINNED),
    "a person's pin wins over the spec's": (spec("{replicas: 4}"), Observation(0, pinned=1), 1, Reason.PINNED),
    "unreadable, and nobody there": (DEFAULT, Observation(0, readable=False), 2, Reason.FALLBACK),
    "fallbackReplicas keep to maxReplicas": (
        spec("{scaling: {maxReplicas: 1}}"),
        Observation(0, readable=False),
        1,
        Reason.FALLBACK,
    ),
    "unreadable: hold": (DEFAULT, Observation(0, readable=False, workers=workers(7)), 7, Reason.UNREADABLE_HOLD),
    "unreadable, and paused in the spec": (spec("{paused: true}"), Observation(0, readable=False), 0, Reason.UNREADABLE_HOLD),
    "unreadable, and pinned in the spec": (spec("{replicas: 0}"), Observation(0, readable=False), 0, Reason.PINNED),
    "who has just started to look takes nobody away": (DEFAULT, Observation(0, workers=workers(5)), 5, Reason.COOLING_DOWN),
    "maxReplicas were lowered": (spec("{scaling: {maxReplicas: 3}}"), Observation(0, workers=workers(5)), 3, Reason.AT_MAX),
}


@pytest.mark.parametrize(("of", "observation", "replicas", "reason"), CASES.values(), ids=CASES.keys())
def test_first_decision(of, observation, replicas, reason) -> None:  # type: ignore[no-untyped-def]
    """What is decided at first sight, and the reason that is given."""
    decision = first_decision(of, observation)
    assert (decision.replicas, decision.reason) == (replicas, reason), decision.sentence


def test_every_reason_has_a_case_here() -> None:
    """No reason that nothing ever gives; those that need a past are tested below."""
    given = {reason for _, _, _, reason in CASES.values()}
    assert set(Reason) - given == {Reason.STEADY_FLOW, Reason.STALE, Reason.PASSING}
    assert all(reason.meaning for reason in Reason)


def test_the_published_rule() -> None:
    """AWS's example: 1,500 messages of 0.1 s on 10 workers of one slot, 10 s acceptable: 15 slots, so 5 more workers."""
    slots = derived_slots(1500, 0.1, 10.0, None, None)
    assert slots == pytest.approx(15)
    decision = first_decision(
        spec("{concurrency: 1, scaling: {waitTarget: 10s}}"),
        Observation(0, ready=1490, in_flight=10, mean_run=0.1, workers=workers(10, 1, slots=1)),
    )
    assert decision.replicas == 18  # 1,490 × 0.1 ÷ 10 ÷ 0.85 = 17.5
    assert HEADROOM == 0.85


def follow(of, observations) -> list[Decision]:  # type: ignore[no-untyped-def]
    """The decisions on one observation after the other."""
    history, decisions = History(), []
    for observation in observations:
        decision, history = decide(of, observation, history)
        decisions.append(decision)
    return decisions


def test_nought_to_many_in_one_step() -> None:
    """From nothing, all the workers that are needed are asked for at once, and back to nothing in one step after the window."""
    burst = [Observation(t, ready=40, mean_run=60.0) for t in range(2)]
    quiet = [Observation(t, mean_run=5.0, workers=workers(20)) for t in range(2, 130)]
    replicas = [decision.replicas for decision in follow(DEFAULT, [Observation(-1), *burst, *quiet])]
    assert replicas[:3] == [0, 20, 20]
    assert replicas[3:] == [20] * 119 + [0] * 9  # needed at t=1, so gone at t=121


def test_down_to_the_highest_need_of_the_window() -> None:
    """After the window, as many stay as were needed at any moment in it."""
    needs = [Observation(t, ready=10 if t == 60 else 4, mean_run=5.0, workers=workers(9)) for t in range(200)]
    decisions = follow(DEFAULT, needs)
    assert decisions[119].replicas == 9
    assert (decisions[120].replicas, decisions[120].reason) == (5, Reason.COOLING_DOWN)
    assert (decisions[180].replicas, decisions[180].reason) == (2, Reason.COUNTED)


@pytest.mark.parametrize("seen_for", [1, 130])
def test_a_worker_that_died_meanwhile_is_not_replaced_unless_needed(seen_for: int) -> None:
    """The window keeps workers, it does not start any."""
    before = [Observation(t, ready=10, mean_run=5.0, workers=workers(5)) for t in range(seen_for)]
    decisions = follow(DEFAULT, [*before, Observation(seen_for, ready=2, mean_run=5.0, workers=workers(3))])
    assert decisions[-1].replicas == 3


def test_unreadable_holds_and_starts_the_window_anew() -> None:
    """What was needed while the broker was away is unknown: nothing goes until a whole window was seen again."""
    seen = [Observation(t, workers=workers(4)) for t in range(100)]
    away = [Observation(t, readable=False) for t in range(100, 103)]
    back = [Observation(t, workers=workers(4)) for t in range(103, 230)]
    decisions = follow(DEFAULT, [*seen, *away, *back])
    assert [decision.reason for decision in decisions[100:103]] == [Reason.UNREADABLE_HOLD] * 3
    assert [decision.replicas for decision in decisions[:223]] == [4] * 223
    assert decisions[223].replicas == 0


def test_fallback_is_held_and_left_again() -> None:
    """The fallback workers stay while the broker is away and go by the ordinary rules when it is back."""
    away = [Observation(t, readable=False) for t in range(5)]
    decisions = follow(DEFAULT, [*away, Observation(5, workers=workers(2))])
    assert [decision.replicas for decision in decisions] == [2] * 6
    assert decisions[0].reason is Reason.FALLBACK
    assert decisions[1].reason is Reason.UNREADABLE_HOLD


@pytest.mark.parametrize("seen", [Observation(0, pinned=0), Observation(0, paused=True)])
def test_what_a_person_stopped_stays_stopped_while_the_broker_is_away(seen: Observation) -> None:
    """A queue that was pinned to nought or paused gets no fallback workers."""
    assert follow(DEFAULT, [seen, Observation(1, readable=False)])[1].replicas == 0


def test_stale_figures_take_nothing_away() -> None:
    """The same reading again may ask for more, never for less, even when no window is wished."""
    of = spec("{scaling: {scaleDownWindow: 0s}}")
    decisions = follow(of, [Observation(0, ready=8, mean_run=5.0), Observation(0, workers=workers(1)), Observation(1)])
    assert (decisions[1].replicas, decisions[1].reason) == (4, Reason.STALE)
    assert decisions[2].replicas == 0


def test_a_gap_starts_the_window_anew() -> None:
    """After a silence longer than the window, or a clock that was set back, nothing goes at once."""
    for later in (500.0, -500.0):
        seen = [Observation(t, workers=workers(4)) for t in range(100)]
        assert follow(DEFAULT, [*seen, Observation(later, workers=workers(4))])[-1].replicas == 4


def test_no_window_means_at_once() -> None:
    """scaleDownWindow 0s takes workers away as soon as they are not needed."""
    of = spec("{scaling: {scaleDownWindow: 0s}}")
    assert first_decision(of, Observation(0, workers=workers(4))).replicas == 0


def test_workers_stay_that_the_flow_needs() -> None:
    """No worker is taken away of whom the arrivals would have to ask back: fewer than 85 % full is not idle."""
    of = spec("{scaling: {scaleDownWindow: 0s}}")
    seen = Observation(0, in_flight=10, mean_run=1.0, arrival_rate=10.0, workers=workers(8, 0))
    seen = replace(seen, workers=(*workers(5, 2), *workers(3, first=5)))
    decision = first_decision(of, seen)
    assert (decision.replicas, decision.reason) == (6, Reason.STEADY_FLOW)  # 10 × 1 ÷ 0.85 = 11.8 slots


def test_the_flow_keeps_nobody_for_an_empty_queue() -> None:
    """With nothing ready, in flight or due soon the queue goes to nought, whatever arrived before."""
    of = spec("{scaling: {scaleDownWindow: 0s}}")
    assert first_decision(of, Observation(0, mean_run=1.0, arrival_rate=10.0, workers=workers(8))).replicas == 0


def test_a_run_time_outlives_the_workers_that_measured_it() -> None:
    """At nought there is nobody to report run times: the last known one is used for the next burst."""
    decisions = follow(
        spec("{scaling: {scaleDownWindow: 0s}}"),
        [Observation(0, mean_run=0.1, workers=workers(1)), Observation(1), Observation(2, ready=3000)],
    )
    assert (decisions[2].replicas, decisions[2].reason) == (6, Reason.WAIT_TARGET)


def test_quick_tasks_between_two_readings() -> None:
    """A queue that looks empty each time but finishes tasks keeps one worker; when that ends, the window runs."""
    of = spec("{scaling: {scaleDownWindow: 10s}}")
    passing = [Observation(t, finished=20 * t, mean_run=0.01, workers=workers(1)) for t in range(60)]
    over = [Observation(t, finished=20 * 59, mean_run=0.01, workers=workers(1)) for t in range(60, 71)]
    decisions = follow(of, [*passing, *over])
    assert {decision.replicas for decision in decisions[:69]} == {1}
    assert {decision.reason for decision in decisions[1:60]} == {Reason.PASSING}
    assert decisions[-1].replicas == 0


def test_arrivals_are_measured_from_what_was_finished() -> None:
    """Without a given rate the policy measures it: held more, and finished."""
    seen = [Observation(t, ready=100, finished=20 * t, mean_run=1.0) for t in range(10)]
    decisions = follow(DEFAULT, seen)
    assert decisions[0].replicas == 5  # ten counted slots
    assert decisions[-1].replicas == 12  # 20/s × 1 s ÷ 0.85 = 23.5 slots


def test_pinned_then_released() -> None:
    """A released queue doesn't fall below what it needed within the window."""
    pinned = [Observation(t, ready=12, mean_run=60.0, pinned=1, workers=workers(1)) for t in range(130)]
    decisions = follow(DEFAULT, [*pinned, Observation(130, ready=12, mean_run=60.0, workers=workers(1))])
    assert {decision.replicas for decision in decisions[:130]} == {1}
    assert decisions[130].replicas == 6


def test_sentences_say_the_arithmetic() -> None:
    """A decision explains itself in one sentence with the figures it was made from."""
    decision = first_decision(spec("{scaling: {maxReplicas: 4}}"), Observation(0, ready=3000, mean_run=0.1))
    assert decision.sentence == (
        "3000 ready and 0 in flight: 0.1 s each, oldest to start within 30 s, so 11.8 slots, 6 workers at concurrency 2, "
        "which maxReplicas caps at 4"
    )
