"""What the reconciler decides, case by case."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from windrow.broker.events import new_id
from windrow.broker.presence import short_ids
from windrow.records import clean
from windrow.records.unfinished import Unfinished
from windrow.server.absence import EARLY, NOT_KEPT, Broker, Lose, Rebuild, is_suspect, loss, verdict

NOW = time.time()


def execution(age: float = 1000.0, **more: Any) -> Unfinished:
    fields: dict[str, Any] = {
        "id": UUID(new_id(NOW - age)), "queue": "q", "task": "t", "task_id": "i", "tag": "d", "state": "ready", "priority": 0,
        "due_at": None, "started_at": None, "worker": None,
    }  # fmt: skip
    return Unfinished(**{**fields, **more})


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


@pytest.mark.parametrize(
    ("known", "found", "recorded", "reason"),
    [
        (None, Broker("r", "m", (5, 0)), (5, 0), "never compared"),
        (("r", "m"), Broker("r", "m", (5, 0)), (5, 0), None),
        (("r", "m"), Broker("r", None, (5, 0)), (5, 0), "marker is missing"),
        (("r", "m"), Broker("r", "n", (5, 0)), (5, 0), "another one's"),
        (("r", "m"), Broker("s", "m", (5, 0)), (5, 0), "started again"),
        ((None, "m"), Broker("s", "m", (5, 0)), (5, 0), None),
        (("r", "m"), Broker(None, "m", (5, 0)), (5, 0), None),
        (("r", "m"), Broker("r", "m", (4, 9)), (5, 0), "ends before"),
        (("r", "m"), Broker("r", "m", (0, 0)), (5, 0), None),
    ],
)
def test_what_counts_as_a_loss(known: Any, found: Broker, recorded: tuple[int, int], reason: str | None) -> None:
    """Another run, a missing or foreign marker, a stream that ends too early; what can't be read says nothing."""
    said = loss(known, found, recorded)
    assert (said is None) == (reason is None)
    assert reason is None or reason in str(said)


@pytest.mark.parametrize(
    ("one", "early", "kept", "wanted"),
    [
        (execution(), False, True, Rebuild(None)),
        (execution(), False, False, Lose(NOT_KEPT)),
        (execution(state="delayed", due_at=at(60)), False, True, Rebuild(at(60).timestamp())),
        (execution(state="delayed", due_at=at(-1)), False, True, Rebuild(None)),
        (execution(state="retrying", due_at=at(9)), False, True, Rebuild(at(9).timestamp())),
        (execution(state="running"), False, True, Rebuild(None)),
        (execution(state="running"), True, True, Lose(EARLY)),
        (execution(state="ready"), True, True, Rebuild(None)),
        (execution(state="running"), False, False, Lose(NOT_KEPT)),
    ],
)
def test_what_becomes_of_what_is_nowhere(one: Unfinished, early: bool, kept: bool, wanted: Rebuild | Lose) -> None:
    """A kept message goes back, with its due time; what had started and was acknowledged early never runs again."""
    assert verdict(one, early=early, is_kept=kept, now=NOW) == wanted


@pytest.mark.parametrize(
    ("one", "oldest", "suspect"),
    [
        (execution(), None, True),  # its list is empty
        (execution(age=10), None, False),  # too young to say
        (execution(), NOW - 2000, False),  # what is next is older
        (execution(), NOW - 10, True),  # what is next was accepted long after it
        (execution(state="delayed", due_at=at(5)), None, False),
        (execution(state="delayed", due_at=at(-5)), None, False),
        (execution(state="delayed", due_at=at(-100)), None, True),
        (execution(state="delayed", due_at=at(-100)), NOW - 90, False),
        (execution(state="retrying"), NOW - 1000, False),
        (execution(state="retrying"), None, True),
        (execution(state="running", worker="here"), None, False),
        (execution(state="running", worker="gone"), None, True),
    ],
)
def test_who_is_a_suspect(one: Unfinished, oldest: float | None, suspect: bool) -> None:
    """Only what can't well be in its list, and is in no known worker's hands."""
    assert is_suspect(one, NOW, {("q", 0): oldest}, set(), {"here"}) == suspect
    assert not is_suspect(one, NOW, {("q", 0): oldest}, {clean.short(one.id)}, {"here"}) or one.state == "running"


def test_an_id_is_found_in_the_headers_of_a_message() -> None:
    """As kombu writes them, with whatever stands beside it; a stranger's message names none."""
    one = new_id()
    short = clean.short(UUID(one))
    assert short_ids(f'{{"headers": {{"windrow": {{"v": 1, "id": "{one}", "t": 1.5}}}}}}'.encode()) == [short]
    assert short_ids(f'{{"headers":{{"windrow":{{"t":1,"id":"{one}"}}}}}}'.encode()) == [short]
    assert short_ids(b'{"headers": {"id": "x"}}') == []
