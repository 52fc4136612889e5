"""What the take decides: order, delays, revocation, rate limits, pauses, strangers' messages."""

from __future__ import annotations

import base64
import json
import pickle
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, chain, chord, group
from kombu import Connection

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import admin, observe


@pytest.fixture
def work(redis_url: str, tmp_path: Path) -> Iterator[Work]:
    with working(redis_url, tmp_path) as made:
        producer(redis_url, evidence.app)
        yield made


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def starts(work: Work) -> list[str]:
    return [line[3] for line in work.lines() if line[2] == "start"]


def final_of(work: Work, task_id: str, timeout: float = 10) -> dict[str, Any]:
    """The event that ended the execution of a Celery task id."""

    def look() -> dict[str, Any] | None:
        told = work.events()
        mine = {event["id"] for event in told if event.get("task_id") == task_id}
        ended = [e for e in told if e["id"] in mine and e.get("state") not in (None, "ready", "delayed", "retrying")]
        return ended[0] if ended else None

    return wait_until(look, timeout, f"{task_id} has a final state") or {}


def test_priorities_come_first_and_each_in_its_order(work: Work) -> None:
    """Priority steps 0, 3, 6, 9 in this order, first in first out within each."""
    ids = {(p, n): task("work").apply_async(queue="work", priority=p).id for n in range(2) for p in (9, 3, 0, 6)}
    work.start(concurrency=1)
    wait_until(lambda: len(starts(work)) == 8, 15, "all run")
    assert starts(work) == [ids[p, n] for p in (0, 3, 6, 9) for n in range(2)]


def test_a_delay_waits_in_redis_and_fires_within_a_second(work: Work) -> None:
    """A countdown is held by no worker, and starts at its time, never before."""
    work.start(concurrency=1)
    result = task("work").apply_async(countdown=1.5, queue="work")
    asked = time.monotonic()
    assert work.client.zcard("windrow:delayed:work") == 1
    wait_until(lambda: starts(work), 5, "it starts", pause=0.005)
    waited = time.monotonic() - asked
    assert 1.4 <= waited <= 2.5
    assert starts(work) == [result.id]


def test_a_stock_producers_eta_is_parked_not_hoarded(work: Work, redis_url: str) -> None:
    """An ETA message from plain Celery goes from the worker into the delayed set, and is on record from its first take."""
    stock = Celery("stock", broker=redis_url, backend=redis_url)
    work.start(concurrency=1)
    result = stock.send_task("tests.apps.evidence.add", (1, 2), queue="work", countdown=1.0)
    wait_until(lambda: work.client.zcard("windrow:delayed:work") == 1, 5, "it is parked")
    assert result.get(timeout=10) == 3
    wait_until(lambda: not work.client.keys("windrow:inflight:*"), 2, "nothing stays in flight")
    kinds = [event["k"] for event in work.events() if event["k"] != "started"]
    assert kinds == ["accepted", "moved", "ended"]
    assert work.events()[0]["message"]


def test_a_revoked_task_never_starts_though_no_worker_was_there(work: Work) -> None:
    """Revocation is kept in Redis: a worker that starts later still knows it."""
    result = task("work").apply_async(queue="work")
    result.revoke()
    work.start(concurrency=1)
    assert final_of(work, result.id)["state"] == "cancelled"
    assert starts(work) == []


def test_a_running_task_is_ended_by_revoke_with_terminate(work: Work) -> None:
    """`revoke(terminate=True)` ends a running task; its record says cancelled."""
    work.start(concurrency=1)
    result = task("work").apply_async((60,), queue="work")
    wait_until(lambda: starts(work), 10, "it runs")
    result.revoke(terminate=True)
    assert final_of(work, result.id)["state"] == "cancelled"


def test_an_expired_task_does_not_start(work: Work) -> None:
    """A task past its `expires` ends as `expired`."""
    result = task("work").apply_async(queue="work", expires=0.01)
    time.sleep(0.05)  # the time that must pass is the condition
    work.start(concurrency=1)
    assert final_of(work, result.id)["state"] == "expired"
    assert starts(work) == []


def test_a_queues_rate_limit_holds_however_many_workers(redis_url: str, tmp_path: Path) -> None:
    """rateLimit 10/s: two workers together start 20 tasks in no less than about 1.7 s."""
    with working(redis_url, tmp_path, more="  rateLimit: 10/s") as work:
        producer(redis_url, evidence.app)
        work.start(concurrency=2)
        work.start(concurrency=2)
        for _ in range(20):
            task("work").apply_async(queue="work")
        wait_until(lambda: len(starts(work)) == 20, 20, "all run")
        times = sorted(float(line[0]) for line in work.lines() if line[2] == "start")
        assert 1.7 <= times[-1] - times[0] <= 4.0


def test_a_tasks_own_rate_limit_holds_back_nothing_else(work: Work) -> None:
    """A task's rate_limit delays that task only; others in the queue go on."""
    work.start(concurrency=1)
    limited = [task("limited").apply_async(queue="work") for _ in range(8)]
    other = task("add").apply_async((1, 1), queue="work")
    assert other.get(timeout=3) == 2
    times = sorted(result.get(timeout=10) for result in limited)
    assert times[-1] - times[0] >= 0.5


def test_a_paused_queue_keeps_its_tasks_until_it_is_released(work: Work) -> None:
    """Pausing stops taking, not accepting; releasing wakes the worker at once."""
    admin.pause(work.client, "work")
    work.start(concurrency=1)
    result = task("add").apply_async((1, 2), queue="work")
    wait_until(lambda: observe.observe(work.client, ["work"])["work"].ready == 1, 5, "it is ready")
    assert observe.observe(work.client, ["work"])["work"].paused
    admin.release(work.client, "work")
    assert result.get(timeout=3) == 3


def test_a_worker_drains_when_asked_and_takes_again_when_not(work: Work) -> None:
    """Asked to drain, an idle worker says so within 2 s and takes nothing; withdrawn, it takes again."""
    process = work.start(concurrency=1)
    worker = work.id_of(process) or ""
    admin.ask_drain(work.client, [worker])
    wait_until(lambda: observe.workers(work.client)[0].drain == "drained", 3, "it has drained")
    result = task("add").apply_async((1, 2), queue="work")
    wait_until(lambda: observe.observe(work.client, ["work"])["work"].ready == 1, 2, "it is not taken")
    admin.withdraw_drain(work.client, [worker])
    assert result.get(timeout=5) == 3


def test_retries_are_one_execution_with_an_attempt_each(work: Work) -> None:
    """A retry keeps id and execution; the new message takes the old one's place in one step."""
    work.start(concurrency=1)
    result = task("again").apply_async((2,), queue="work")
    assert result.get(timeout=10) == 2
    final_of(work, result.id)
    told = work.events()
    assert {event["id"] for event in told} == {told[0]["id"]}
    assert [event["retries"] for event in told if event["k"] == "accepted"] == [0, 1, 2]
    assert [event["outcome"] for event in told if event["k"] == "ended"] == ["retried", "retried", "success"]
    assert len({event["attempt"] for event in told if event["k"] == "ended"}) == 3
    assert work.client.keys("windrow:inflight:*") == []


def test_canvas_goes_on(work: Work) -> None:
    """Chain, group and chord give the results that Celery gives."""
    work.start(concurrency=2)
    add, total = task("add").s, task("total").s
    queue = {"queue": "work"}
    assert chain(add(1, 2).set(**queue), add(3).set(**queue))().get(timeout=10) == 6
    assert sorted(group(add(n, n).set(**queue) for n in range(3))().get(timeout=10)) == [0, 2, 4]
    assert chord([add(n, 1).set(**queue) for n in range(5)])(total().set(**queue)).get(timeout=10) == 15


def test_limits_end_a_task_as_timed_out(work: Work) -> None:
    """Soft limit: SoftTimeLimitExceeded in the body; hard limit: the child is killed and the slot is free within a second."""
    work.start(concurrency=1)
    soft = task("too_slow").apply_async(queue="work")
    event = final_of(work, soft.id)
    assert (event["state"], event["error"]) == ("timed_out", "SoftTimeLimitExceeded")
    hard = task("far_too_slow").apply_async(queue="work")
    event = final_of(work, hard.id)
    assert (event["state"], event["error"]) == ("timed_out", "TimeLimitExceeded")
    ended = time.monotonic()
    assert task("add").apply_async((1, 2), queue="work").get(timeout=5) == 3
    assert time.monotonic() - ended < 1.5


def test_a_tasks_hard_limit_holds_below_its_queues_soft_limit(redis_url: str, tmp_path: Path) -> None:
    """A task with a hard limit alone is ended by it, though its queue's soft limit comes later."""
    with working(redis_url, tmp_path, more="  timeLimits: {soft: 4m, hard: 5m}") as made:
        producer(redis_url, evidence.app)
        made.start(concurrency=1)
        far = task("far_too_slow").apply_async(queue=made.queue)
        assert final_of(made, far.id, 10)["state"] == "timed_out"


def push(work: Work, message: bytes) -> None:
    work.client.lpush("work", message)


def envelope(body: bytes, content_type: str, headers: dict[str, Any]) -> bytes:
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-type": content_type,
            "content-encoding": "binary" if "python" in content_type else "utf-8",
            "headers": headers,
            "properties": {
                "delivery_tag": str(uuid.uuid4()),
                "delivery_info": {"exchange": "", "routing_key": "work"},
                "body_encoding": "base64",
                "priority": 0,
            },
        }
    ).encode()


CALL = {"id": "one", "task": "tests.apps.evidence.add", "lang": "py"}
STRANGE = {
    "no JSON": (b"\x80\x04hello", "Celery made"),
    "no message": (b'"text"', "Celery made"),
    "no properties": (b'{"body": ""}', "Celery made"),
    "no task": (envelope(b'{"a": 1}', "application/json", {}), "names no task"),
    "unknown task": (envelope(b"[[], {}, {}]", "application/json", {**CALL, "task": "no.such"}), "'no.such' must be known"),
    "pickle": (envelope(pickle.dumps(((1, 2), {}, {})), "application/x-python-serialize", CALL), "must be JSON"),
    "bad body": (envelope(b"[1, 2", "application/json", CALL), "must be"),
    "bad eta": (envelope(b"[[1, 2], {}, {}]", "application/json", {**CALL, "eta": "soon"}), "must be"),
    "bad header": (envelope(b"[[1, 2], {}, {}]", "application/json", {**CALL, "stamped_headers": 5}), "must be"),
    "too large": (envelope(b"[[1, 2], {}, {}]" + b" " * 7_000_000, "application/json", CALL), "8 MiB"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_message_that_is_no_task_ends_rejected_and_the_worker_goes_on(work: Work, name: str) -> None:
    """Whatever is put into a queue ends on record as `rejected` with a reason; the next task runs."""
    message, reason = STRANGE[name]
    push(work, message)
    work.start(concurrency=1)
    ended = wait_until(lambda: [event for event in work.events() if event.get("state") == "rejected"], 15, "it is rejected")
    assert reason in ended[0]["reason"]
    assert task("add").apply_async((1, 2), queue="work").get(timeout=10) == 3
    wait_until(lambda: not work.client.keys("windrow:inflight:*"), 2, "nothing stays in flight")


def test_a_worker_comes_back_when_redis_does(work: Work) -> None:
    """All connections cut under load: the worker connects again by itself, and nothing is lost or runs twice."""
    work.start(concurrency=2)
    ids = [task("work").apply_async((0.02,), queue="work").id for _ in range(200)]
    for _ in range(5):
        wait_until(lambda: starts(work), 10, "tasks run")
        work.client.client_kill_filter(_type="normal", skipme=True)
        time.sleep(0.3)  # tasks must run between the cuts
    wait_until(lambda: sum(line[2] == "end" for line in work.lines()) >= 200, 30, "all run")
    assert sorted(starts(work)) == sorted(ids)
    wait_until(lambda: len(work.finals()) == 200, 5, "all are on record")
    assert set(map(tuple, work.finals().values())) == {("success",)}


def test_remote_control_works(work: Work) -> None:
    """`inspect` and `control` of Celery reach a Windrow worker."""
    work.start(concurrency=1)
    answer = wait_until(lambda: evidence.app.control.inspect(timeout=1).ping(), 10, "the worker answers")
    assert [reply["ok"] for reply in answer.values()] == ["pong"]


def test_a_cancelled_consumer_rests_and_takes_again_when_added(work: Work) -> None:
    """`control.cancel_consumer` stops taking, not the worker; `add_consumer` starts it again."""
    process = work.start(concurrency=1)
    control = evidence.app.control
    wait_until(lambda: control.cancel_consumer("work", reply=True, timeout=1), 10, "the worker answers")
    result = task("add").apply_async((1, 2), queue="work")
    wait_until(lambda: observe.observe(work.client, ["work"])["work"].ready == 1, 5, "it is not taken")
    control.add_consumer("work", reply=True, timeout=1)
    assert result.get(timeout=5) == 3
    assert process.poll() is None


def test_a_stock_worker_still_serves_an_installed_app(redis_url: str) -> None:
    """The transport works for any other consumer as kombu's own: publish, get, acknowledge."""
    with Connection(redis_url, transport="windrow.broker.transport:Transport") as connection:
        queue = connection.SimpleQueue("plain")
        queue.put({"a": 1})
        message = queue.get(timeout=3)
        assert message.payload == {"a": 1}
        message.ack()
        queue.close()


def test_a_worker_without_client_tracking_looks_by_itself(work: Work, redis_url: str, redis_client: redis.Redis) -> None:
    """Where Redis refuses tracking (an ACL, a proxy), a worker still finds tasks within a fraction of a second."""
    redis_client.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-client|tracking")
    try:
        limited = re.sub(r"//:[^@]*@", "//plain:secret@", redis_url)
        with working(limited, work.folder, queue="work") as other:
            other.start(concurrency=1)
            assert task("add").apply_async((1, 2), queue="work").get(timeout=5) == 3
            started = time.monotonic()
            assert task("add").apply_async((1, 2), queue="work").get(timeout=5) == 3
            assert time.monotonic() - started < 1.0
    finally:
        redis_client.execute_command("ACL", "DELUSER", "plain")
