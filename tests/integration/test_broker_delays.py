"""Delays: revoked ones end at once, found by their task id; due ones go to their queue though PostgreSQL is away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, chord
from celery.exceptions import TaskRevokedError

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import admin, events
from windrow.cli import redo


@pytest.fixture
def work(redis_url: str, tmp_path: Path) -> Iterator[Work]:
    with working(redis_url, tmp_path) as made:
        producer(redis_url, evidence.app)
        yield made


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def waiting(work: Work) -> int:
    """How many messages are delayed; each is in both parts of the set."""
    times, messages = work.client.pipeline().zcard("windrow:delayed:work").hlen("windrow:delayed:work:messages").execute()
    assert times == messages
    return int(times)


def states(work: Work) -> list[str]:
    return [state for of in work.finals().values() for state in of]


def test_a_revoked_delayed_task_ends_at_once_without_a_worker_or_a_server(work: Work) -> None:
    """`revoke` takes it out of the delayed set and puts `cancelled` on the stream in one step; its result says REVOKED."""
    kept, gone = (task("add").apply_async((1, n), queue="work", countdown=3600) for n in range(2))
    gone.revoke()
    assert waiting(work) == 1
    accepted = {event["task_id"]: event["id"] for event in work.events() if event["k"] == "accepted"}
    assert work.finals() == {accepted[gone.id]: ["cancelled"]}
    assert [event["reason"] for event in work.events() if event["k"] == "ended"] == ["revoked"]
    with pytest.raises(TaskRevokedError):
        gone.get(timeout=2)
    assert kept.state == "PENDING"


def test_a_retry_that_waits_and_a_stock_producers_delay_are_found_too(work: Work, redis_url: str) -> None:
    """Whatever put it into the delayed set: a retry's countdown, or a worker that parked an ETA of plain Celery."""
    work.start(concurrency=1)
    retried = task("again").apply_async((3, 3600), queue="work")
    stock = Celery("stock", broker=redis_url, backend=redis_url)
    parked = stock.send_task("tests.apps.evidence.work", queue="work", countdown=3600)
    wait_until(lambda: waiting(work) == 2, 10, "both wait")
    began = time.monotonic()
    evidence.app.control.revoke([retried.id, parked.id])
    assert waiting(work) == 0
    assert time.monotonic() - began < 1
    assert states(work) == ["cancelled", "cancelled"]
    assert work.client.hgetall("windrow:held") == {}, "their task ids are free again"


def test_many_are_revoked_in_one_call(work: Work) -> None:
    """A thousand among twenty thousand that wait: within a second, for each is looked up, not searched."""
    from windrow.broker.keys import stored

    names = [f"task-{n}" for n in range(20_000)]
    with work.client.pipeline(transaction=False) as pipe:
        for name in names:
            message = f'{{"headers": {{"windrow": {{"v": 1, "id": "{events.new_id()}"}}}}}}'
            pipe.hset("windrow:delayed:work:messages", name, stored(0, "work", message))
            pipe.zadd("windrow:delayed:work", {name: (time.time() + 3600) * 1000})
        pipe.sadd("windrow:queues", "work", *(f"other{n}" for n in range(50)))
        pipe.execute()
    began = time.monotonic()
    assert len(admin.revoke(work.client, names[::20])) == 1000
    assert time.monotonic() - began < 1
    assert waiting(work) == 19_000
    assert states(work) == ["cancelled"] * 1000


def test_one_that_is_no_longer_delayed_is_found_revoked_at_the_take(work: Work) -> None:
    """What became due, or was never delayed, stays where it is and ends as cancelled when it is taken."""
    result = task("work").apply_async(queue="work")
    result.revoke()
    assert work.finals() == {}
    work.start(concurrency=1)
    wait_until(lambda: states(work) == ["cancelled"], 10, "it ends")
    assert work.lines() == []


def test_two_calls_with_one_task_id_both_wait(work: Work) -> None:
    """The second never takes the first one's place in the delayed set."""
    for _ in range(2):
        task("work").apply_async(queue="work", countdown=3600, task_id="fixed")
    assert waiting(work) == 2


def test_a_chord_whose_delayed_part_is_revoked_fails_as_celerys_does(work: Work) -> None:
    """The body gets a failure in place of a part that can never come."""
    work.start(concurrency=1)
    header = [task("add").s(1, 1).set(queue="work"), task("add").s(2, 2).set(queue="work", countdown=3600)]
    body = chord(header)(task("total").s().set(queue="work"))
    wait_until(lambda: waiting(work) == 1, 10, "one part waits")
    part = next(event for event in work.events() if event["k"] == "accepted" and event["due"])
    evidence.app.control.revoke(part["task_id"])
    with pytest.raises(TaskRevokedError):
        body.get(timeout=10)


def test_cancel_takes_out_its_own_execution_and_no_other_of_that_task_id(work: Work) -> None:
    """People reuse task ids: the name in the delayed set may be another execution's."""
    task("work").apply_async(queue="work", countdown=3600, task_id="fixed")
    other = events.new_id()
    assert admin.cancel_delayed(work.client, ["work"], ["fixed"], "by hand", execution=other) == []
    own = work.events()[0]["id"]
    assert len(admin.cancel_delayed(work.client, ["work"], ["fixed"], "by hand", execution=own)) == 1
    assert work.finals() == {own: ["cancelled"]}
    assert waiting(work) == 0


def test_the_caller_of_a_cancelled_delayed_task_is_told(work: Work) -> None:
    """`windrow cancel` stores the result as a worker would have, so nobody waits for it for ever."""
    result = task("add").apply_async((1, 1), queue="work", countdown=3600)
    accepted = work.events()[0]
    row = {"id": accepted["id"], "task_id": result.id, "tag": accepted["tag"], "queue": "work", "state": "delayed"}
    target: Any = SimpleNamespace(redis_url=work.url, key_prefix="")
    assert redo._cancel(target, work.client, row) == "taken out"
    with pytest.raises(TaskRevokedError):
        result.get(timeout=2)
    assert work.client.zcard("windrow:revoked") == 0, "its task id may be used again"


def test_a_purge_is_on_record_with_each_task(work: Work) -> None:
    """Ready and delayed ones, a stranger's message among them, each end as cancelled."""
    for countdown in (None, None, 3600, 3600):
        task("work").apply_async(queue="work", countdown=countdown)
    work.client.lpush("work", b"no task at all")
    assert admin.purge(work.client, "work") == 5
    assert states(work) == ["cancelled"] * 5
    assert (waiting(work), work.client.llen("work")) == (0, 0)


def test_due_tasks_of_a_queue_without_a_worker_are_ready_in_time_while_postgresql_is_away(work: Work, tmp_path: Path) -> None:
    """The leader sends them on at their time, not at its next look a second later: it needs Redis alone."""
    settings = {
        **os.environ, "REDIS_URL": work.url, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "WINDROW_STATE": str(tmp_path),
    }  # fmt: skip
    with (tmp_path / "server.log").open("ab") as log:
        server = subprocess.Popen([sys.executable, "-m", "windrow.server"], env=settings, stdout=log, stderr=log)
    try:
        wait_until(lambda: work.client.get("windrow:leader"), 30, "the server leads")
        began = time.monotonic()
        for n in range(5):
            task("work").apply_async(queue="work", countdown=2 + n / 5)
        for n in range(5):
            wait_until(lambda n=n: work.client.llen("work") > n, 10, "it is ready", pause=0.005)
            assert 1.99 <= time.monotonic() - began - n / 5 < 2.6
        assert waiting(work) == 0
    finally:
        server.kill()
        server.wait()
