"""docs/celery.md: what changes a worker while it runs, on a stock worker and on Windrow's, and where Windrow's differs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from tests.integration.parity import KINDS, Side, sides
from tests.waiting import wait_until


@pytest.fixture(params=KINDS)
def side(request: pytest.FixtureRequest, redis_url: str, tmp_path: Path) -> Iterator[Side]:
    """A worker of each kind in turn, for this test alone."""
    yield from sides(request.param, redis_url, tmp_path)


@pytest.fixture
def windrow(redis_url: str, tmp_path: Path) -> Iterator[Side]:
    """A Windrow worker, where Celery's is known to differ."""
    yield from sides("windrow", redis_url, tmp_path)


def told(replies: list[dict[str, Any]] | None) -> Any:
    """What the one worker answered."""
    assert replies is not None
    assert len(replies) == 1
    return next(iter(replies[0].values()))


def at_once(side: Side, count: int) -> bool:
    """Whether so many tasks, published together, run together."""
    results = [side.task("work").delay(0.7) for _ in range(count)]
    for result in results:
        result.get(timeout=20)
    ids = {result.id for result in results}
    lines = [line for line in side.work.lines() if line[3] in ids]
    times = {what: [float(line[0]) for line in lines if line[2] == what] for what in ("start", "end")}
    return max(times["start"]) < min(times["end"])


def test_limits_and_pool_size_change_while_it_runs_and_shutdown_ends_it(side: Side) -> None:
    """rate_limit, pool_grow, pool_shrink, then shutdown: the same answers and the same effects."""
    control = side.app.control
    ask = {"reply": True, "timeout": 5, "limit": 1}
    assert told(control.rate_limit("parity.limited", "2/s", **ask)) == {"ok": "new rate limit set successfully"}
    began = time.monotonic()
    limited = [side.task("limited").delay() for _ in range(5)]
    wait_until(lambda: all(side.noted("start", one.id) for one in limited), 15, "all have run")
    assert time.monotonic() - began >= 1.4
    assert "error" in told(control.rate_limit("parity.unknown", "2/s", **ask))

    assert told(control.pool_grow(2, **ask)) == {"ok": "pool will grow"}
    wait_until(lambda: at_once(side, 4), 30, "four run at once")
    wait_until(lambda: not next(iter(control.inspect(timeout=5, limit=1).active().values())), 10, "all slots are free")
    assert told(control.pool_shrink(3, **ask)) == {"ok": "pool will shrink"}
    wait_until(
        lambda: len(next(iter(control.inspect(timeout=5, limit=1).stats().values()))["pool"]["processes"]) == 1,
        15,
        "it is smaller",
    )
    assert not at_once(side, 2), "one after the other"

    running = side.task("work").delay(1.0)
    wait_until(lambda: side.noted("start", running.id), 10, "it runs")
    control.shutdown()
    assert side.process.wait(15) == 0
    assert side.noted("end", running.id), "a warm shutdown lets running tasks finish"


def test_what_has_succeeded_is_not_run_again(side: Side) -> None:
    """`worker_deduplicate_successful_tasks`: a message that is delivered again after its task's success runs nothing."""
    late, client = side.task("late"), side.work.client
    late.apply_async(task_id="once").get(timeout=10)
    late.apply_async(task_id="once", queue="elsewhere")
    again = json.loads(client.rpop("elsewhere"))
    again["properties"]["delivery_info"]["redelivered"] = True
    client.lpush("work", json.dumps(again))
    assert side.task("add").delay(1, 1).get(timeout=10) == 2
    wait_until(lambda: client.llen("work") == 0, 5, "both were taken")
    assert len(side.noted("start", "once")) == 1


def test_a_new_time_limit_holds_from_the_next_task_on(windrow: Side) -> None:
    """A stock worker answers the same and keeps the limits that it had read at its start."""
    control, ask = windrow.app.control, {"reply": True, "timeout": 5, "limit": 1}
    assert told(control.time_limit("parity.work", soft=0.5, hard=20, **ask)) == {"ok": "time limits set successfully"}
    with pytest.raises(SoftTimeLimitExceeded):
        windrow.task("work").delay(20).get(timeout=10)


def test_a_windrow_worker_serves_its_own_queue_alone(windrow: Side) -> None:
    """add_consumer for another queue is refused with a sentence; cancel_consumer and add_consumer of its own stop and go on."""
    control, ask = windrow.app.control, {"reply": True, "timeout": 5, "limit": 1}
    refused = told(control.add_consumer("other", **ask))
    assert refused == {"error": "this worker serves the queue 'work' alone; run another worker for 'other'"}
    assert windrow.task("add").delay(1, 1).get(timeout=10) == 2
    assert told(control.cancel_consumer("work", **ask)) == {"ok": "no longer consuming from work"}
    waiting = windrow.task("add").delay(2, 2)
    wait_until(lambda: windrow.work.client.llen("work") == 1, 5, "nobody takes it")
    time.sleep(1.2)  # more than a look
    assert windrow.work.client.llen("work") == 1
    assert told(control.add_consumer("work", **ask)) == {"ok": "add consumer work"}
    assert waiting.get(timeout=10) == 4


def test_delays_are_in_no_windrow_worker(windrow: Side) -> None:
    """`inspect scheduled` is empty: delayed tasks wait in Redis, also at no worker at all."""
    windrow.task("add").apply_async((1, 1), countdown=3600)
    assert told([windrow.app.control.inspect(timeout=5, limit=1).scheduled() or {}]) == []
    assert windrow.work.client.zcard("windrow:delayed:work") == 1


def test_a_purge_by_celery_is_on_record(windrow: Side) -> None:
    """`celery purge` and `app.control.purge()`: each dropped task ends as cancelled, delayed ones too."""
    control = windrow.app.control
    control.cancel_consumer("work", reply=True, timeout=5, limit=1)
    for _ in range(3):
        windrow.task("add").delay(1, 1)
    windrow.task("add").apply_async((1, 1), countdown=3600)
    assert control.purge() == 4
    states = [state for of in windrow.work.finals().values() for state in of]
    assert states == ["cancelled"] * 4


def test_a_child_is_replaced_after_its_tasks(redis_url: str, tmp_path: Path) -> None:
    """`worker_max_tasks_per_child` is the spec's `recycle.tasks`: after so many tasks another process goes on."""
    for one in sides("windrow", redis_url, tmp_path, concurrency=1, more="  recycle: {tasks: 2}"):
        pids = [one.task("pid").delay().get(timeout=10) for _ in range(6)]
        assert [pids.count(pid) for pid in dict.fromkeys(pids)] == [2, 2, 2]
