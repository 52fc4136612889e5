"""Each code block of the task pattern reference, through a real worker on real servers, judged by the record."""

from __future__ import annotations

import ast
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.reference.app import app as reference_app
from tests.reference.blocks import changed, printed
from windrow.records.states import STATUS_IDS
from windrow_tasks.examples import chained, errors, manual_retry, mymodule, options, progress, queues


@pytest.fixture(scope="module")
def app(windrow_platform: Any) -> Any:
    """The reference's tasks, published to the platform."""
    return windrow_platform.install(reference_app)


@pytest.fixture(scope="module", autouse=True)
def worker(app: Any, windrow_worker: Callable[..., Any]) -> Any:
    """A worker of Celery's default queue, where most of the blocks' tasks go."""
    return windrow_worker("tests.reference.app:app", "celery")


def was_retried(record: Any) -> bool:
    """An attempt ended in a retry, and the next one waits or runs."""
    return not record.final and any(attempt.outcome == "retried" for attempt in record.attempts)


def test_the_basic_task_reports_its_success(windrow_execution: Callable[..., Any]) -> None:
    """Basic Task Structure: the record has the five fields that the block writes, under the id that Windrow filled in."""
    before = datetime.now(UTC)
    result = mymodule.my_task.delay(param1="hello", param2=3)
    assert result.get(timeout=30) == {"status": "success", "result": "HELLO x 3"}
    record = windrow_execution(result)
    assert record.state == "success"
    assert len(record.attempts) == 1
    report = record.report
    assert report.attempt_id == record.attempts[0].id
    assert report.status_id == STATUS_IDS["success"]
    assert report.result_summary == "{'status': 'success', 'result': 'HELLO x 3'}"
    assert report.error_message is None
    assert before < report.completed_at < before + timedelta(seconds=30)
    assert 0 <= report.duration_ms < 10_000


def test_the_basic_task_reports_each_failed_attempt_and_retries(windrow_execution: Callable[..., Any]) -> None:
    """Basic Task Structure: each attempt writes its own `failed`; the execution is `retrying` until Celery has done."""
    result = mymodule.my_task.delay(param1="unreachable")
    record = windrow_execution(result, until=was_retried)
    report = record.reports[0]
    assert report.status_id == STATUS_IDS["failed"]
    assert report.error_message == "the service can't be reached"
    assert report.result_summary is None
    assert record.attempts[0].error == "ConnectionError"
    assert not record.final


def test_the_basic_tasks_retries_come_to_an_end(windrow_execution: Callable[..., Any]) -> None:
    """Basic Task Structure: after three retries with backoff the execution has failed, with the last attempt's error."""
    result = mymodule.my_task.apply_async(kwargs={"param1": None}, retries=2)
    with pytest.raises(ValueError, match="there must be something to process"):
        result.get(timeout=60)
    record = windrow_execution(result)
    assert record.state == "failed"
    assert [one.outcome for one in record.attempts] == ["retried", "failed"]
    assert record.retries == 3
    assert record.error == "ValueError"
    assert [one.status for one in record.reports] == ["failed", "failed"]


def test_the_basic_task_reports_when_its_soft_limit_ends_it(windrow_execution: Callable[..., Any]) -> None:
    """Basic Task Structure: the soft limit reaches the block's own `_run_async`; its `finally` reports, and it is retried."""
    result = mymodule.my_task.apply_async(kwargs={"param1": "slow", "param2": 30}, soft_time_limit=1)
    record = windrow_execution(result, until=was_retried)
    assert record.attempts[0].error == "SoftTimeLimitExceeded"
    assert record.attempts[0].run_s < 10
    assert record.reports[0].status_id == STATUS_IDS["failed"]
    assert record.reports[0].duration_ms >= 900


def test_every_option_of_the_decorator_holds(windrow_worker: Callable[..., Any], windrow_execution: Callable[..., Any]) -> None:
    """Task Decorator Options: each is on the task, and the task runs on its queue."""
    task = options.my_task
    assert (task.max_retries, task.default_retry_delay) == (3, 60)
    assert (task.soft_time_limit, task.time_limit) == (120, 180)
    assert (task.rate_limit, task.acks_late, task.reject_on_worker_lost) == ("10/m", True, True)
    assert (task.track_started, task.expires) == (True, 3600)
    windrow_worker("tests.reference.app:app", "default")
    result = task.delay()
    assert result.get(timeout=30) is None
    record = windrow_execution(result)
    assert (record.state, record.queue) == ("success", "default")


def test_a_manual_retry_comes_back_after_its_countdown(windrow_execution: Callable[..., Any]) -> None:
    """Manual Retry: a temporary error is retried after the task's own countdown, a permanent one ends it."""
    waiting = manual_retry.task_with_manual_retry.delay("busy")
    broken = manual_retry.task_with_manual_retry.delay("broken")
    fine = manual_retry.task_with_manual_retry.delay("text")
    assert fine.get(timeout=30) == "processed text"
    with pytest.raises(manual_retry.PermanentError):
        broken.get(timeout=30)
    failed = windrow_execution(broken)
    assert (failed.state, failed.error, len(failed.attempts)) == ("failed", "PermanentError", 1)
    record = windrow_execution(waiting, until=was_retried)
    assert record.attempts[0].error == "TemporaryError"


def test_progress_is_on_record(windrow_execution: Callable[..., Any]) -> None:
    """Task with Progress Updates: what `update_state` says is in the result backend and on the execution's record."""
    result = progress.long_running_task.delay([0.6, 0.6, 0.6])
    seen = windrow_execution(result, until=lambda record: record.progress is not None)
    assert seen.progress_state == "PROGRESS"
    assert seen.progress["total"] == 3
    assert result.get(timeout=30) == {"status": "complete", "processed": 3}
    record = windrow_execution(result)
    assert record.state == "success"
    assert record.progress["current"] in (2, 3)


def test_each_task_runs_on_its_queue(windrow_worker: Callable[..., Any], windrow_execution: Callable[..., Any]) -> None:
    """Queue-Specific Tasks: each goes to its queue, served by workers of that queue alone."""
    wanted = {
        "high_priority": queues.urgent_task,
        "file_queue": queues.process_file,
        "long_running": queues.batch_job,
    }
    results = {queue: task.delay("x") for queue, task in wanted.items()}
    for queue in wanted:
        windrow_worker("tests.reference.app:app", queue, concurrency=1, wait=False)
    for queue, result in results.items():
        record = windrow_execution(result)
        assert (record.state, record.queue) == ("success", queue)
        assert record.attempts[0].worker.startswith(f"{queue}/")


def test_canvases_go_on_to_their_end(app: Any, windrow_execution: Callable[..., Any]) -> None:
    """Chained Tasks: the block as printed; a chain hands results on, a group runs side by side, a chord joins them."""
    names = {name: getattr(chained, name) for name in ("task1", "task2", "task3", "aggregate_results")}
    names.update(arg1=1, item1=1, item2=2, item3=3, items=[1, 2, 3])
    block = ast.parse(changed(printed()["Chained Tasks"]))
    results = []
    for statement in block.body:
        if isinstance(statement, ast.Expr):
            results.append(eval(compile(ast.Expression(statement.value), "the block", "eval"), names))
        else:
            exec(compile(ast.Module([statement], []), "the block", "exec"), names)
    in_order, side_by_side, together = results
    assert in_order.get(timeout=30) == -4
    assert side_by_side.get(timeout=30) == [2, 3, 4]
    assert together.get(timeout=30) == 9
    for result in (in_order, in_order.parent, in_order.parent.parent, *side_by_side, together):
        assert windrow_execution(result).state == "success"


def test_errors_are_told_apart(windrow_execution: Callable[..., Any]) -> None:
    """Error Handling Patterns: temporary errors are retried, wrong data is an answer, the unexpected is retried."""
    fine, wrong, empty, refused, odd = (
        errors.robust_task.delay(data) for data in ("text", "ValueError", "", "ConnectionError", "KeyError")
    )
    assert fine.get(timeout=30) == {"status": "success", "result": "processed text"}
    assert wrong.get(timeout=30) == {"status": "error", "message": "not a number"}
    assert empty.get(timeout=30) == {"status": "error", "message": "Data is required"}
    assert windrow_execution(wrong).state == "success"
    for result, error in ((refused, "ConnectionError"), (odd, "KeyError")):
        record = windrow_execution(result, until=was_retried)
        assert record.attempts[0].error == error
    last = errors.robust_task.apply_async(args=["KeyError"], retries=3)
    assert last.get(timeout=30) == {"status": "error", "message": "Max retries exceeded"}
