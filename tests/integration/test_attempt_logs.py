"""The end of what each attempt logs is kept with its record, whatever becomes of the attempt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps import talking
from tests.waiting import wait_until
from tests.workers import Work, producer, working

POOLS = ("prefork", "threads", "asyncio")


@pytest.fixture(params=POOLS)
def work(request: Any, redis_url: str, tmp_path: Path) -> Iterator[Work]:
    """A queue of the app that talks, served by each pool."""
    more = f"  pool: {request.param}\n  maxRecoveries: 0"
    with working(redis_url, tmp_path, app="tests.apps.talking:app", more=more) as made:
        yield made


@pytest.fixture
def tasks(redis_url: str) -> Any:
    return producer(redis_url, talking.app).tasks


def ends(work: Work, count: int = 1) -> list[dict[str, Any]]:
    """The events of so many attempts that have ended."""

    def found() -> list[dict[str, Any]] | None:
        made = [event for event in work.events() if event["k"] == "ended" and event.get("outcome")]
        return made if len(made) >= count else None

    return list(wait_until(found, 30, "the attempts have ended"))


def send(tasks: Any, name: str, *arguments: Any) -> Any:
    return tasks[f"tests.apps.talking.{name}"].apply_async(arguments, queue="work")


def said(event: dict[str, Any]) -> list[str]:
    """What stands between the level and the logger, line by line."""
    return [line.partition("] ")[2].rpartition(" [")[0] for line in event["log"].splitlines() if "Z [" in line]


@pytest.mark.parametrize("name", ["say_in_a_coroutine", "await_say"])
def test_what_a_task_logs_is_kept_wherever_in_it_that_is(work: Work, tasks: Any, name: str) -> None:
    """By structlog and by logging; in the body, in a coroutine that it awaits or starts, in a thread that works for it."""
    work.start(1)
    send(tasks, name)
    (event,) = ends(work)
    places = ("outside", "nested", "in a thread")
    assert said(event) == [f"{place} by {how}" for place in places for how in ("logging", "structlog number=1")]


def test_an_attempt_that_logs_nothing_has_no_log(work: Work, tasks: Any) -> None:
    """Celery's own line about its end is no part of it; nor is what another attempt has said in the same place."""
    work.start(1)
    for name, *arguments in (("say", "first"), ("silent",), ("say", "third")):
        send(tasks, name, *arguments)
    first, second, third = ends(work, 3)
    assert "log" not in second
    assert said(first) == ["first by logging", "first by structlog number=1"]
    assert said(third) == ["third by logging", "third by structlog number=1"]


def test_each_attempt_has_its_own_log(work: Work, tasks: Any) -> None:
    """A retry does not repeat what the attempt before it said."""
    work.start(1)
    send(tasks, "say_each_time", 2)
    assert [said(event) for event in ends(work, 3)] == [["attempt 0"], ["attempt 1"], ["attempt 2"]]


def test_an_exception_that_was_logged_is_kept_with_its_traceback(work: Work, tasks: Any) -> None:
    work.start(1)
    send(tasks, "say_and_fail")
    (event,) = ends(work)
    assert "Traceback (most recent call last)" in event["log"]
    assert "KeyError: 'no such thing'" in event["log"]
    assert "uncaught" not in event["log"], "that is the attempt's own traceback, which is on record already"


def test_the_log_of_an_attempt_that_died_with_its_process_is_kept(work: Work, tasks: Any) -> None:
    work.start(1)
    send(tasks, "say_and_die")
    (event,) = ends(work)
    assert event["outcome"] == "killed"
    assert said(event) == ["before death by logging", "before death by structlog number=1"]


@pytest.mark.parametrize("name", ["say_and_hang", "say_and_block"])
def test_the_log_of_an_attempt_that_was_ended_at_its_limit_is_kept(work: Work, tasks: Any, name: str) -> None:
    """Also when it holds the loop, so that its process is replaced."""
    work.start(1)
    send(tasks, name)
    (event,) = ends(work)
    assert event["outcome"] == "timed_out"
    assert said(event) == ["before the limit by logging", "before the limit by structlog number=1"]


def test_of_a_long_log_the_last_64_kib_are_kept_in_whole_lines(work: Work, tasks: Any) -> None:
    work.start(1)
    send(tasks, "say_much", 3000)
    (event,) = ends(work)
    lines = said(event)
    assert 60_000 < len(event["log"]) <= 65_536
    assert lines == [f"line {number}" for number in range(3000 - len(lines), 3000)]


def test_what_a_redacting_task_logs_is_kept_only_when_it_says_so(work: Work, tasks: Any) -> None:
    """Its log may hold what it hides; `keep_log` decides for any task."""
    work.start(1)
    for name, *arguments in (("say_secret", "x1y2z3"), ("say_privately",), ("say_secret_anyway", "x1y2z3")):
        send(tasks, name, *arguments)
    secret, private, anyway = ends(work, 3)
    assert "log" not in secret
    assert "log" not in private
    assert said(anyway) == ["a password came"]


def test_what_is_said_after_an_attempt_has_ended_is_in_no_other_attempts_log(work: Work, tasks: Any) -> None:
    """A thread that a task left running has no context, and in a child it may speak between two jobs."""
    work.start(1)
    send(tasks, "say_later")
    (first,) = ends(work)
    wait_until(lambda: "too late" in work.log(), 10, "the thread has spoken")
    send(tasks, "silent")
    assert said(first) == ["at once"]
    assert "log" not in ends(work, 2)[1]


@pytest.mark.parametrize("work", ["prefork"], indirect=True)
def test_in_a_child_a_thread_that_goes_on_speaks_into_the_attempt_that_runs_then(work: Work, tasks: Any) -> None:
    """It knows no context, and a child runs one task at a time: whatever a task starts there is taken for the task's own."""
    work.start(1)
    send(tasks, "say_later")
    send(tasks, "wait", 1.5)
    assert [said(event) for event in ends(work, 2)] == [["at once"], ["too late"]]
