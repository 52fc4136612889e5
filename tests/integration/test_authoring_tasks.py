"""What a task's author relies on beyond the reference: async bodies, execution_id, limits, progress; through a real worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from billiard.exceptions import SoftTimeLimitExceeded
from celery import chain, chord, group

from tests.reference import own
from tests.reference.app import app as reference_app
from windrow.records.states import STATUS_IDS


@pytest.fixture(scope="module")
def app(windrow_platform: Any) -> Any:
    """The tasks, published to the platform."""
    return windrow_platform.install(reference_app)


@pytest.fixture(scope="module", autouse=True)
def worker(app: Any, windrow_worker: Callable[..., Any]) -> Any:
    """A worker of Celery's default queue."""
    return windrow_worker("tests.reference.app:app", "celery")


def test_an_async_task_knows_itself(windrow_execution: Callable[..., Any]) -> None:
    """Inside a coroutine, and in what it starts, `self.request` and `current_task` are those of the task."""
    result = own.self_portrait.delay()
    portrait = result.get(timeout=30)
    assert portrait["request_id"] == result.id
    assert portrait["current"] == own.self_portrait.name
    assert portrait["in_children"] == [result.id, result.id]
    assert portrait["execution_id"] == windrow_execution(result).id


def test_a_given_execution_id_is_kept_and_goes_on_record_as_external(windrow_execution: Callable[..., Any]) -> None:
    """An `execution_id` that the caller gives is never overwritten; the record keeps it beside its own id."""
    by_name = own.self_portrait.delay(execution_id="order 7")
    by_place = own.required.delay("order 8")
    assert by_name.get(timeout=30)["execution_id"] == "order 7"
    assert by_place.get(timeout=30)["execution_id"] == "order 8"
    record = windrow_execution(by_name)
    assert record.external_id == "order 7"
    assert record.id != "order 7"
    assert windrow_execution(by_place).external_id == "order 8"


def test_a_required_execution_id_may_be_left_out(windrow_execution: Callable[..., Any]) -> None:
    """A parameter without a default is filled in too; Celery's check of the arguments lets the call pass."""
    result = own.required.delay(data="text")
    record = windrow_execution(result)
    assert result.get(timeout=30) == {"execution_id": record.id, "data": "text"}
    assert record.external_id is None


def test_none_is_filled_in_where_it_stands(windrow_execution: Callable[..., Any]) -> None:
    """`execution_id=None`, by place or by name, is the same as none."""
    by_place = own.shout.delay(None, "loud", 2)
    by_name = own.shout.delay(execution_id=None, text="loud")
    assert by_place.get(timeout=30) == {"execution_id": windrow_execution(by_place).id, "text": "loud", "times": 2}
    assert by_name.get(timeout=30)["execution_id"] == windrow_execution(by_name).id


def test_a_chains_result_goes_past_execution_id(windrow_execution: Callable[..., Any]) -> None:
    """A step's result goes to the parameter after `execution_id`, which keeps the id of the step's own record."""
    result = chain(own.word.s(), own.shout.s())()
    assert result.get(timeout=30) == {"execution_id": windrow_execution(result).id, "text": "word", "times": 1}
    with_more = chain(own.word.s(), own.shout.s(3))()
    assert with_more.get(timeout=30)["times"] == 3
    by_name = chain(own.word.s(), own.shout.s(text="own words"))()
    assert by_name.get(timeout=30)["text"] == "own words"
    assert by_name.get(timeout=30)["times"] == "word"


def test_a_chords_result_goes_past_execution_id(windrow_execution: Callable[..., Any]) -> None:
    """So do a chord's results, and a result that a group of steps gets."""
    body = chord(group(own.word.s(), own.word.s()), own.shout.s())()
    assert body.get(timeout=30) == {"execution_id": windrow_execution(body).id, "text": ["word", "word"], "times": 1}
    steps = chain(own.word.s(), group(own.shout.s(), own.shout.s()))()
    assert [one["text"] for one in steps.get(timeout=30)] == ["word", "word"]


def test_an_immutable_step_gets_its_own_arguments_alone() -> None:
    """`si()` takes no result, also when its first argument is None."""
    result = chain(own.word.s(), own.shout.si(None, "own"))()
    assert result.get(timeout=30)["text"] == "own"


def test_retry_works_inside_a_coroutine(windrow_execution: Callable[..., Any]) -> None:
    """`self.retry` in an async body retries, as often as it says."""
    result = own.retries_itself.delay()
    assert result.get(timeout=30) == 2
    record = windrow_execution(result)
    assert [one.outcome for one in record.attempts] == ["retried", "retried", "success"]


def test_automatic_retry_holds_for_async_tasks(windrow_execution: Callable[..., Any]) -> None:
    """`autoretry_for` sees the coroutine's exception, not a coroutine that was never run."""
    result = own.fails.delay()
    with pytest.raises(ValueError, match="try 1"):
        result.get(timeout=30)
    record = windrow_execution(result)
    assert [one.outcome for one in record.attempts] == ["retried", "failed"]
    assert record.error_message == "try 1"


def test_progress_inside_a_coroutine_is_on_record_at_most_once_a_second(
    windrow_platform: Any, windrow_execution: Callable[..., Any]
) -> None:
    """`update_state` in an async body is on the record; ten states in three seconds are at most four events."""
    from windrow.broker import events
    from windrow.broker.client import connect

    result = own.tells.delay(10)
    record = windrow_execution(result, until=lambda record: record.progress is not None)
    assert record.progress["total"] == 10
    assert result.get(timeout=30) == 10
    told = [
        event
        for _, entry in connect(windrow_platform.redis_url).xrange("windrow:events")
        for event in events.decode(entry)
        if event["k"] == events.PROGRESS and event["id"] == record.id
    ]
    assert len(told) <= 4


def test_the_soft_limit_reaches_except_and_finally_of_a_coroutine(windrow_execution: Callable[..., Any]) -> None:
    """The soft limit is thrown in at the await: `except Exception`, rollback and `finally` run, the report is written."""
    started = time.monotonic()
    result = own.too_long.delay()
    with pytest.raises(SoftTimeLimitExceeded):
        result.get(timeout=30)
    assert time.monotonic() - started < 8
    record = windrow_execution(result)
    assert record.state == "timed_out"
    assert record.report.status_id == STATUS_IDS["failed"]
    assert record.report.error_message == "SoftTimeLimitExceeded"


def test_a_coroutine_may_answer_the_soft_limit() -> None:
    """What the coroutine returns after the limit is the task's result; the tasks of its group have ended by then."""
    assert own.swallows_the_limit.delay().get(timeout=30) == ["ended", "SoftTimeLimitExceeded"]


def test_a_task_that_disposes_the_engine_harms_no_other() -> None:
    """Engines disposed in `finally`, as the reference's seventh pattern has it, cost the tasks beside them nothing."""
    result = group(own.disposes.s(number) for number in range(20))()
    assert result.get(timeout=60) == list(range(20))
