"""docs/celery.md, line by line: what a task sees, and what its caller sees, is the same on a stock worker and on Windrow's.

Each test runs twice, against `celery worker` and against a Windrow worker, on the same Redis with the same module of tasks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import chain, chord, group
from celery.exceptions import MaxRetriesExceededError, SoftTimeLimitExceeded, TaskRevokedError, TimeLimitExceeded

from tests.integration.parity import KINDS, Side, sides
from tests.waiting import wait_until
from windrow.local.servers import EmbeddedRedis


@pytest.fixture(scope="module", params=KINDS)
def side(
    request: pytest.FixtureRequest, redis_server: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Side]:
    """One worker of each kind for all tests of this file; none of them changes it."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    yield from sides(request.param, redis_server.url, tmp_path_factory.mktemp("parity"))


def queued(signature: Any) -> Any:
    return signature.set(queue="work")


def test_results_and_states(side: Side) -> None:
    """Return value, state, `ignore_result` (also for one call), custom states with their meta, STARTED, Ignore."""
    assert side.task("add").delay(1, 2).get(timeout=10) == 3
    silent = side.task("silent").delay()
    hidden = side.task("add").apply_async((1, 2), ignore_result=True)
    progress = side.task("progress").delay()
    wait_until(lambda: progress.state == "HALFWAY", 10, "its own state is seen")
    assert progress.info == {"done": 1}
    assert progress.get(timeout=10) == "done"
    work = side.task("work").delay(0.5)
    wait_until(lambda: work.state == "STARTED", 10, "task_track_started")
    ignored = side.task("ignored").delay()
    assert side.task("add").delay(0, 0).get(timeout=10) == 0
    assert (silent.state, hidden.state, ignored.state) == ("PENDING", "PENDING", "STARTED")


def test_what_a_task_sees_of_its_request(side: Side) -> None:
    """`self.request`: arguments, retries, delivery info with the priority, limits, headers of one's own, canvas ids."""
    options = {"priority": 6, "time_limit": 60, "soft_time_limit": 50, "expires": 600, "headers": {"mine": "yes"}}
    seen = side.task("about").apply_async((1, "two"), {"three": [3]}, **options).get(timeout=10)
    headers = seen.pop("headers")
    assert headers["mine"] == "yes"
    info = seen.pop("delivery_info")
    assert (info["routing_key"], info["priority"], info["exchange"], bool(info["redelivered"])) == ("work", 6, "", False)
    assert seen == {
        "args": [1, "two"], "kwargs": {"three": [3]}, "retries": 0, "eager": False, "called_directly": False, "root": True,
        "parent": None, "group": None, "timelimit": [60, 50], "expires": True, "reply": True, "late": True, "queue": "work",
    }  # fmt: skip


def test_failures_and_retries(side: Side) -> None:
    """The exception reaches the caller; autoretry with backoff and `self.retry` run as often as asked, then raise the cause."""
    failed = side.task("fail").delay("wrong")
    with pytest.raises(ValueError, match="wrong"):
        failed.get(timeout=10)
    assert "ValueError: wrong" in failed.traceback
    began = time.monotonic()
    succeeds, exhausted = side.task("auto").delay(2), side.task("auto").delay(9)
    assert succeeds.get(timeout=20) == 2
    assert time.monotonic() - began >= 3, "1 s, then 2 s: exponential backoff"
    with pytest.raises(ValueError, match="attempt 2"):
        exhausted.get(timeout=20)
    assert side.noted("start", exhausted.id) == ["0", "1", "2"]
    manual = side.task("manual").delay()
    with pytest.raises((KeyError, MaxRetriesExceededError)) as caught:
        manual.get(timeout=20)
    assert caught.type is KeyError
    assert side.noted("start", manual.id) == ["0", "1", "2"]


def test_time_limits_end_a_task(side: Side) -> None:
    """Soft: an exception inside the task; hard: the process is killed; the caller gets Celery's exceptions."""
    soft = side.task("slow").delay()
    with pytest.raises(SoftTimeLimitExceeded):
        soft.get(timeout=10)
    hard = side.task("slow_hard").delay()
    with pytest.raises(TimeLimitExceeded):
        hard.get(timeout=10)
    called = side.task("work").apply_async((30,), soft_time_limit=1)
    with pytest.raises(SoftTimeLimitExceeded):
        called.get(timeout=10)


def test_callbacks_and_canvas(side: Side) -> None:
    """link, link_error, chain, group, chord, starmap and chunks: results, parents, and the error of a failed step."""
    add, total = side.task("add"), side.task("total")
    linked = add.apply_async((1, 2), link=queued(side.task("told").s()))
    assert linked.get(timeout=10) == 3
    wait_until(lambda: side.noted("told", "3") == ["int"], 10, "the callback got the result")
    broken = side.task("fail").apply_async(link_error=queued(side.task("failed").s()))
    wait_until(lambda: side.noted("failed", broken.id) == ["ValueError"], 10, "the errback got request, exception, traceback")
    chained = chain(add.s(1, 2), add.s(3), add.s(4))()
    assert chained.get(timeout=10) == 10
    assert (chained.parent.get(timeout=5), chained.parent.parent.get(timeout=5)) == (6, 3)
    assert sorted(group(add.s(n, n) for n in range(4))().get(timeout=10)) == [0, 2, 4, 6]
    assert chord([add.s(n, 1) for n in range(4)])(total.s()).get(timeout=10) == 10
    assert add.starmap([(1, 1), (2, 2)]).apply_async().get(timeout=10) == [2, 4]
    assert add.chunks([(n, n) for n in range(4)], 2)().get(timeout=10) == [[0, 2], [4, 6]]
    broken_chord = chord([add.s(1, 1), side.task("fail").s("part")])(total.s())
    with pytest.raises(Exception, match="part"):
        broken_chord.get(timeout=10)


def test_revocation_and_expiry(side: Side) -> None:
    """Before the start: never run, state REVOKED; running with terminate: ended; by a stamped header; past its time."""
    blockers = [side.task("work").delay(4) for _ in range(2)]
    wait_until(lambda: all(side.noted("start", one.id) for one in blockers), 10, "all slots are busy")
    waiting = side.task("work").delay()
    waiting.revoke()
    expired = side.task("work").apply_async(expires=0.2)
    for result in (waiting, expired):
        with pytest.raises(TaskRevokedError):
            result.get(timeout=10)
        assert result.state == "REVOKED"
        assert side.noted("start", result.id) == []
    running = side.task("work").delay(60)
    wait_until(lambda: side.noted("start", running.id), 10, "it runs")
    running.revoke(terminate=True)
    with pytest.raises(TaskRevokedError):
        running.get(timeout=10)
    side.app.control.revoke_by_stamped_headers({"customer": ["7"]})
    stamped = side.task("work").s().stamp(customer="7").apply_async()
    with pytest.raises(TaskRevokedError):
        stamped.get(timeout=10)
    assert side.noted("end", running.id) == []


def test_rejects(side: Side) -> None:
    """`Reject(requeue=False)`: run once, gone, no result."""
    rejected = side.task("rejected").delay()
    wait_until(lambda: side.noted("start", rejected.id), 10, "it ran")
    assert side.task("add").delay(1, 1).get(timeout=10) == 2
    assert len(side.noted("start", rejected.id)) == 1


def test_priorities_are_kombus_steps(side: Side) -> None:
    """Priority 0 is first on Redis; 0–9 fall into the four steps 0, 3, 6, 9."""
    blockers = [side.task("work").delay(1.0) for _ in range(2)]
    wait_until(lambda: all(side.noted("start", one.id) for one in blockers), 10, "all slots are busy")
    filler = [
        side.task("work").apply_async((0.1,), priority=0) for _ in range(10)
    ]  # what a stock worker has prefetched keeps its order
    low = side.task("work").apply_async(priority=9)
    high = side.task("work").apply_async(priority=0)
    after = [
        side.task("work").apply_async((0.1,), priority=0) for _ in range(4)
    ]  # else both start in the same moment, each in a slot of its own
    for result in (*filler, *after, low, high):
        result.get(timeout=20)
    order = [line[3] for line in side.work.lines() if line[2] == "start"]
    assert order.index(high.id) < order.index(low.id)


def test_a_tasks_own_rate_limit(side: Side) -> None:
    """10/s: eight tasks take about 0.7 s; others go on meanwhile."""
    limited = [side.task("limited").delay() for _ in range(8)]
    assert side.task("add").delay(1, 1).get(timeout=5) == 2
    wait_until(lambda: all(side.noted("start", one.id) for one in limited), 10, "all have run")
    ids = {one.id for one in limited}
    times = sorted(float(line[0]) for line in side.work.lines() if line[2] == "start" and line[3] in ids)
    assert 0.5 <= times[-1] - times[0] <= 2.5


def test_signals(side: Side) -> None:
    """Each signal once, in the same order, for a success, a failure, a retry and a revoked task."""
    success, failure, retried = side.task("add").delay(1, 1), side.task("fail").delay(), side.task("auto").delay(1)
    assert success.get(timeout=10) == 2
    assert retried.get(timeout=10) == 1
    with pytest.raises(ValueError, match="wrong"):
        failure.get(timeout=10)
    expected = {
        success.id: ["task_received", "task_prerun", "task_success", "task_postrun"],
        failure.id: ["task_received", "task_prerun", "task_failure", "task_postrun"],
        retried.id: [
            "task_received", "task_prerun", "task_retry", "task_postrun",
            "task_received", "task_prerun", "task_success", "task_postrun",
        ],
    }  # fmt: skip
    for task_id, names in expected.items():
        wait_until(
            lambda task_id=task_id, names=names: sorted(side.noted("signal", task_id)) == sorted(names), 5, "all are there"
        )
        by_main_process = [name for name in side.noted("signal", task_id) if name != "task_received"]
        assert by_main_process == [name for name in names if name != "task_received"]


def test_events(side: Side) -> None:
    """A monitor sees the same task events with the same fields, once they are enabled (`-E`, `enable_events`)."""
    side.app.control.enable_events(reply=True, timeout=5, limit=1)
    seen: list[dict[str, Any]] = []

    try:
        with side.app.connection_for_read() as connection:
            receiver = side.app.events.Receiver(connection, handlers={"*": seen.append})
            listening = threading.Thread(target=receiver.capture, kwargs={"limit": None, "timeout": None, "wakeup": False})
            listening.start()
            names = {"task-sent", "task-received", "task-started", "task-succeeded", "task-failed", "worker-heartbeat"}

            def complete() -> bool:  # what is sent before the receiver has subscribed is nobody's
                side.task("add").delay(1, 1), side.task("fail").delay()
                return names <= {event["type"] for event in seen}

            wait_until(complete, 20, "each kind of event", pause=0.5)
            receiver.should_stop = True
            listening.join(5)
    finally:
        side.app.control.disable_events()
    fields = {
        "task-received": {"uuid", "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta", "expires"},
        "task-started": {"uuid"},
        "task-succeeded": {"uuid", "result", "runtime"},
        "task-failed": {"uuid", "exception", "traceback"},
        "worker-heartbeat": {"freq", "active", "processed", "loadavg", "sw_ident"},
    }
    for kind, expected in fields.items():
        event = next(event for event in seen if event["type"] == kind)
        assert expected | {"hostname", "timestamp", "pid", "clock"} <= event.keys()


def test_inspect(side: Side) -> None:
    """ping, active, registered, stats, active_queues, conf, report, query_task and revoked answer in Celery's words."""
    inspect = side.app.control.inspect(timeout=5, limit=1)
    running = side.task("work").delay(1.5)
    wait_until(lambda: side.noted("start", running.id), 10, "it runs")
    active = next(iter(inspect.active().values()))
    assert [(one["id"], one["name"], one["delivery_info"]["routing_key"]) for one in active] == [
        (running.id, "parity.work", "work")
    ]
    assert {"args", "kwargs", "time_start", "worker_pid", "hostname", "acknowledged"} <= active[0].keys()
    assert next(iter(inspect.query_task(running.id).values()))[running.id][0] == "active"
    assert "parity.add" in " ".join(next(iter(inspect.registered().values())))
    stats = next(iter(inspect.stats().values()))
    assert stats["pool"]["max-concurrency"] == 2
    assert len(stats["pool"]["processes"]) == 2
    assert stats["total"]["parity.work"] >= 1
    assert [queue["name"] for queue in next(iter(inspect.active_queues().values()))] == ["work"]
    assert next(iter(inspect.conf().values()))["task_default_queue"] == "work"
    assert "ok" in next(iter(inspect.report().values()))
    revoked = side.task("add").apply_async((1, 1), countdown=3600)
    revoked.revoke()
    wait_until(lambda: revoked.id in next(iter(inspect.revoked().values())), 5, "the worker knows it")
    assert next(iter(inspect.ping().values())) == {"ok": "pong"}
