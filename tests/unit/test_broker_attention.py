"""When a worker looks at its queue: each rule by itself, without Redis."""

from __future__ import annotations

import pytest

from windrow.broker.attention import ASKED, DRAINED, IDLE, LISTENER, LISTENER_OF_MORE, Attention
from windrow.broker.inflight import InFlight

NEITHER = 0
MESSAGE = b"0q\n{}"


@pytest.fixture
def attention() -> Attention:
    """One that has looked for one message with one free slot, and has heard nothing since."""
    made = Attention(["unread"])
    made.looks(1, 1, 0.0)
    return made


def slots(free: int, of: int = 1) -> InFlight:
    """What a worker has in flight that has so many free slots."""
    made = InFlight(of)
    made.take([MESSAGE] * (of - free))
    while made.next(0.0) is not None:
        pass
    return made


def must(attention: Attention, inflight: InFlight, wanted: int, now: float = 1.0, *, resting: bool = False) -> bool:
    return attention.must_look(inflight, wanted, now, resting=resting)


def test_it_looks_when_it_begins_and_when_something_changed(attention: Attention) -> None:
    """A push of a key that it has read, or its bell; a change that is no news wakes nobody."""
    assert must(Attention([]), slots(1), 1)
    assert not must(attention, slots(1), 1)
    attention.hear([b"invalidate", [b"unread"]])
    attention.hear([b"subscribe", b"bell", 1])
    assert not must(attention, slots(1), 1)
    attention.hear([b"invalidate", [b"unread", b"queue"]])
    assert must(attention, slots(1), 1)
    attention.looks(1, 1, 1.0)
    attention.hear([b"message", b"bell", b"1"])
    assert must(attention, slots(0), 0)  # a full listener rings the others


@pytest.mark.parametrize(
    ("asked", "free", "what", "taken", "allowed", "now_free", "looks"),
    [
        (1, 1, NEITHER, 1, 1, 1, True),  # it took all that it asked for
        (4, 1, NEITHER, 1, 1, 1, True),  # the rest was left to idle workers: when a slot is free
        (4, 1, NEITHER, 1, 1, 0, False),
        (0, 0, NEITHER, 0, 0, 0, False),  # full: when a slot is free
        (0, 0, NEITHER, 0, 0, 1, True),  # full when it looked, and a slot came free meanwhile
        (1, 1, NEITHER, 0, 0, 1, False),  # paused, draining, limited: nothing to look for
        (1, 1, LISTENER, 0, 1, 1, False),  # nothing waits, and it will hear of what comes
        (1, 1, IDLE, 0, 1, 1, False),
        (1, 1, LISTENER_OF_MORE, 1, 1, 1, True),
    ],
)
def test_after_a_look_it_looks_again_where_nobody_will_tell_it(
    attention: Attention, asked: int, free: int, what: int, taken: int, allowed: int, now_free: int, looks: bool
) -> None:
    """What it did not take, though it might have, is its own to come back for."""
    attention.looks(asked, free, 0.0)
    attention.answered(what, taken, allowed, b"", slots(now_free))
    assert must(attention, slots(now_free), now_free) is looks


def test_one_that_was_asked_to_drain_looks_once_more_when_it_is_empty(attention: Attention) -> None:
    """So that it says at once that it drained, and does not ask again and again."""
    attention.answered(NEITHER, 0, 0, ASKED, slots(1, of=2))
    assert not must(attention, slots(1, of=2), 1)
    assert must(attention, slots(2, of=2), 2)
    attention.looks(2, 2, 1.0)
    attention.answered(NEITHER, 0, 0, DRAINED, slots(2, of=2))
    assert not must(attention, slots(2, of=2), 2)


def test_a_rate_limit_is_waited_for(attention: Attention) -> None:
    """Whatever it hears, it does not look before the limit allows it."""
    attention.hear([b"message", b"bell", b"1"])
    attention.wait(5.0)
    assert not must(attention, slots(1), 1, now=4.9)
    assert must(attention, slots(1), 1, now=5.0)


def test_how_it_hears_is_said_in_each_look(attention: Attention) -> None:
    """As the script has it: by its bell, idle, as the listener, rung, or no more."""
    assert attention.says(2, resting=False) == "b2"
    attention.answered(IDLE, 0, 1, b"", slots(1))
    assert attention.says(2, resting=False) == "i2"
    attention.hear([b"message", b"bell", b"1"])
    assert attention.says(2, resting=False) == "r2"
    attention.answered(LISTENER, 0, 1, b"", slots(1))
    assert attention.says(2, resting=False) == "m2"
    assert attention.says(2, resting=True) == "x"
    assert must(attention, slots(0), 0, resting=True)  # to say so
    attention.forget()
    assert not must(Attention([]), slots(0), 0, resting=True)
    assert attention.role == NEITHER


def test_what_the_listener_puts_back_it_looks_for_itself(attention: Attention) -> None:
    """Redis does not tell a connection of its own changes."""
    attention.answered(IDLE, 0, 1, b"", slots(1))
    attention.pushes()
    assert not must(attention, slots(1), 1)
    attention.answered(LISTENER, 0, 1, b"", slots(1))
    attention.pushes()
    assert must(attention, slots(0), 0)
