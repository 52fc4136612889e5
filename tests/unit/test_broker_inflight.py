"""The bookkeeping of what a worker has taken."""

from __future__ import annotations

import pytest

from windrow.broker.inflight import MOST_AHEAD, InFlight
from windrow.broker.keys import HANDED_ON, step_of, stored, unstored


def value(text: str) -> bytes:
    return stored(0, "q", text)


def taking(slots: int, *texts: str) -> InFlight:
    inflight = InFlight(slots)
    inflight.take([value(text) for text in texts])
    return inflight


def test_no_more_is_delivered_than_there_are_slots() -> None:
    """Slots bound what the pool holds; the rest waits, in the order in which it was taken."""
    inflight = taking(2, "a", "b", "c")
    assert [taken.message for taken in iter(lambda: inflight.next(1.0), None)] == [b"a", b"b"]
    assert list(inflight.waiting) == [3]
    inflight.say("F", 1, "e", "", now=1.1)
    third = inflight.next(1.1)
    assert third is not None
    assert third.message == b"c"


def test_nothing_is_taken_ahead_before_run_times_are_known_nor_of_long_tasks() -> None:
    """What is taken ahead must start within 20 ms by the measured pace: nothing at first, nothing of long tasks."""
    inflight = taking(2, "a")
    assert (inflight.ahead, inflight.wanted) == (0, 1)
    inflight.next(0.0)
    inflight.say("F", 1, "e", "", now=0.002)
    assert inflight.ahead == 20
    inflight.take([value("b")])
    inflight.next(1.0)
    inflight.say("F", 2, "e", "", now=6.0)
    assert inflight.ahead == 0


def test_what_is_taken_ahead_is_bounded() -> None:
    """However fast the tasks are, no more than `MOST_AHEAD` wait in one worker."""
    inflight = taking(1, "a")
    inflight.next(0.0)
    inflight.say("F", 1, "e", "", now=1e-6)
    assert inflight.ahead == MOST_AHEAD


def test_waiting_messages_go_back_in_their_order() -> None:
    """Handing back pushes the last one first, since each push to the tail is next in line."""
    inflight = taking(1, "a", "b", "c")
    inflight.next(0.0)
    assert inflight.give_back_waiting() == 2
    assert [op[:2] for op in inflight.batch()] == [("G", 3), ("G", 2)]
    assert list(inflight.messages) == [1]


def test_what_came_while_others_were_given_back_goes_behind_them() -> None:
    """A call under way at a stop brings newer messages: they are given back before the older ones, which are next in line."""
    inflight = InFlight(slots=1)
    inflight.take([stored(0, "q", f"m{n}") for n in range(3)])
    inflight.next(0.0)
    inflight.give_back_waiting()
    inflight.take([stored(0, "q", f"m{n}") for n in range(3, 5)])
    inflight.say("R", 4, b"restamped")
    inflight.give_back_waiting()
    assert [operation[:2] for operation in inflight.batch()] == [("R", 4), ("G", 5), ("G", 4), ("G", 3), ("G", 2)]


def test_a_message_is_settled_once() -> None:
    """The second end of the same message says nothing."""
    inflight = taking(1, "a")
    inflight.next(0.0)
    inflight.say("F", 1, "first", "")
    inflight.say("F", 1, "second", "")
    assert inflight.batch() == [("F", 1, "first", "")]


@pytest.mark.parametrize(
    ("held", "again"),
    [({1: value("a")}, [("F", 1, "e", "")]), ({}, [])],
    ids=["the lost call was not carried out", "it was carried out"],
)
def test_after_a_lost_connection_each_end_is_said_once(held: dict[int, bytes], again: list[tuple]) -> None:
    """The in-flight set itself says whether the lost call was carried out."""
    inflight = taking(1, "a")
    inflight.next(0.0)
    inflight.say("F", 1, "e", "")
    inflight.batch()
    assert inflight.resumed(held) == []
    assert inflight.batch() == again


def test_what_a_lost_call_took_is_adopted() -> None:
    """Messages that an unanswered call took are in the in-flight set; they are run, not forgotten."""
    inflight = taking(2, "a")
    inflight.next(0.0)
    adopted = inflight.resumed({1: value("a"), 2: value("b"), 3: HANDED_ON})
    assert [taken.message for taken in adopted] == [b"b"]
    assert inflight.next_tag == 4
    assert list(inflight.waiting) == [2]


@pytest.mark.parametrize(("priority", "step"), [(None, 0), (0, 0), (2, 0), (3, 3), (5, 3), (8, 6), (9, 9), (255, 9)])
def test_priorities_fall_into_kombus_steps(priority: int | None, step: int) -> None:
    """The same priority goes to the same list as with kombu."""
    assert step_of(priority) == step


def test_a_stored_message_keeps_its_bytes() -> None:
    """The form in which sets hold a message changes not one byte of it."""
    message = b'{"a": [], "n": 12345678901234567890, "line": "x\\ny"}\n'
    assert unstored(stored(6, "high priority", message)) == (6, "high priority", message)


def test_a_pool_that_gives_back_gets_a_part_of_what_is_taken_ahead() -> None:
    """No slot waits for the worker between two short calls; nothing of unknown or long ones is given beyond the slots."""
    inflight = taking(1, "a", "b", "c", "d", "e", "f", "g", "h")
    inflight.deep = True
    assert (inflight.free, inflight.handed) == (1, 0)
    inflight.next(0.0)
    inflight.say("F", 1, "e", "", now=0.001)
    assert (inflight.ahead, inflight.handed, inflight.free) == (20, 5, 6)


def test_the_pace_does_not_depend_on_how_deep_the_pool_is() -> None:
    """A call that waited behind others in the pool took as long as they all did: the gap between two ends is the same."""
    inflight = taking(1, *"abcdef")
    inflight.deep = True
    inflight.pace = 0.001
    while inflight.next(0.0):
        pass
    assert inflight.delivered == 6
    for number in range(1, 7):
        inflight.next_tag, now = 7 + number, number * 0.001
        inflight.take([value("x")])
        inflight.next(now)
        inflight.say("F", number, "e", "", now=now)
    assert 0.0003 < inflight.pace <= 0.001


def test_what_was_taken_anew_in_what_redis_lost_is_not_run_again_once_its_final_is_told() -> None:
    """It is in flight under its earlier tag then: the final that is told again takes it out, and nothing is adopted."""
    message = '{"properties": {"delivery_tag": "d"}}'
    inflight = taking(1, message)
    inflight.say("G", 1, "")
    inflight.batch()
    inflight.answered(1.0)
    inflight.take([value(message)])
    inflight.next(1.1)
    inflight.say("F", 2, "event", "execution", "d", "task", "", now=1.2)
    inflight.batch()
    inflight.answered(1.2)
    inflight.say_again()
    assert inflight.resumed({1: value(message), 3: value("no JSON")}) == [inflight.messages[3]]
    assert inflight.outbox == [("X", 1, "event", "execution", "d", "task", "")]
