"""Which pods are protected from the removal of their nodes, and for how long."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.operator_cases import NOW, info, knowing, pod, reading, sized
from windrow_operator.names import PROTECTION

LONG = "{timeLimits: {hard: 9m}}"
OFF = dict.fromkeys(PROTECTION)


def test_busy_pods_of_long_queues_are_protected_at_once() -> None:
    """More than eight minutes of hard limit: a busy pod keeps its node; an idle one does not, nor one of a shorter queue."""
    pods, seen = [pod(0), pod(1)], reading(info(0, 1), info(1))
    assert sized(pods, seen, 2, body=LONG).annotations == {"q-000": PROTECTION}
    assert sized(pods, seen, 2, body="{timeLimits: {hard: 8m}}").annotations == {}


def test_protection_ends_after_a_minute_of_idleness() -> None:
    """Short pauses cost no writes; whoever has just started to look counts the minute anew."""
    pods, seen = [pod(0, protected=True)], reading(info(0))
    first = sized(pods, seen, 1, body=LONG)
    assert first.annotations == {}
    later = sized(pods, replace(seen, at=NOW + 59), 1, first.memory, LONG, NOW + 59)
    assert later.annotations == {}
    assert sized(pods, replace(seen, at=NOW + 60), 1, later.memory, LONG, NOW + 60).annotations == {"q-000": OFF}
    between = sized(pods, reading(info(0, 1), at=NOW + 30), 1, first.memory, LONG, NOW + 30)
    assert sized(pods, replace(seen, at=NOW + 61), 1, between.memory, LONG, NOW + 61).annotations == {}


def test_protection_ends_with_the_long_limit() -> None:
    """A queue whose limit was made short keeps no node, busy or not."""
    pods = [pod(0, protected=True), pod(1, protected=True)]
    assert sized(pods, reading(info(0, 1), info(1)), 2).annotations == {"q-000": OFF, "q-001": OFF}


def test_unreadable_leaves_protection_as_it_is() -> None:
    """Nobody knows who is busy: nothing is put on or taken off, and idleness counts anew afterwards."""
    made = sized([pod(0, protected=True)], None, 1, knowing(idle={"q-000": NOW - 500}), LONG)
    assert (made.annotations, made.memory.idle) == ({}, {})
