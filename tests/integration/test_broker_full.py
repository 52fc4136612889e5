"""A Redis that is full (maxmemory, noeviction) refuses new tasks and finishes the old; on each server that Windrow supports."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chord, group
from kombu.exceptions import OperationalError

from tests.apps import evidence
from tests.brokers import Broker
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import admin, delayed
from windrow.broker.leader import Leadership
from windrow.broker.recovery import Recovery


@pytest.fixture
def work(each_server: Broker, tmp_path: Path) -> Iterator[Work]:
    with working(each_server.url, tmp_path) as made:
        producer(each_server.url, evidence.app)
        yield made


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def beats(work: Work) -> int:
    """How often the one worker has said that it is alive."""
    (text,) = work.client.hvals("windrow:beats")
    return int(json.loads(text)["n"])


def test_a_full_redis_refuses_a_new_task_with_one_sentence(work: Work, each_server: Broker) -> None:
    """Each way to publish says that Redis is full and what to do, at once, and nothing of the task is left in Redis."""
    task("work").apply_async(queue="work")
    asyncio.run(_awaited())
    each_server.fill()
    began = time.monotonic()
    ways = {
        "by kombu": lambda: task("work").apply_async(queue="never_declared"),
        "directly": lambda: task("work").apply_async(queue="work"),
        "delayed": lambda: task("work").apply_async(queue="work", countdown=60),
        "in a group": lambda: group(task("work").s().set(queue="work") for _ in range(3)).apply_async(),
        "awaited": lambda: asyncio.run(_awaited()),
    }
    for call in ways.values():
        with pytest.raises(OperationalError, match=r"refused: Redis must have room for a new task.*raise maxmemory"):
            call()
    assert time.monotonic() - began < 2
    assert (work.client.llen("work"), work.client.zcard("windrow:delayed:work"), work.client.xlen("windrow:events")) == (
        1,
        0,
        2,
    )


async def _awaited() -> None:
    await task("work").adelay()


def test_what_was_accepted_finishes_on_a_full_redis(work: Work, each_server: Broker) -> None:
    """Ready, running, delayed and retried tasks, of workers that start only now, and of one that dies: all end, on record."""
    first = work.start(concurrency=2)
    running = [task("work").apply_async((2.0,), queue="work") for _ in range(2)]
    wait_until(lambda: len([line for line in work.lines() if line[2] == "start"]) == 2, 10, "they run")
    ready = [task("work").apply_async(queue="work") for _ in range(20)]
    later = [task("work").apply_async(queue="work", countdown=n / 10) for n in range(5, 15)]
    again = task("again").apply_async((2, 0.2), queue="work")
    parts = [task("again").s(0).set(queue="work") for _ in range(2)]
    joined = chord(parts, task("total").s().set(queue="work"))()
    each_server.fill()
    os.killpg(first.pid, signal.SIGKILL)
    client = work.client
    leadership = Leadership(client, "tests")
    assert leadership.hold()
    admin.report_exit(client, [str(worker, "utf-8") for worker in client.hkeys("windrow:epochs")])
    recovery = Recovery(client, {})
    assert recovery.tick(time.monotonic())
    assert leadership.hold()
    work.start(concurrency=2)
    accepted = {event["id"] for event in work.events() if event["k"] == "accepted"}
    assert len(accepted) >= len([*running, *ready, *later, again, *parts])  # and the body, when it is soon

    def ended() -> bool:
        delayed.promote(client, ["work"], time.time())
        return accepted <= set(work.finals())

    wait_until(ended, 30, "every execution has a final state", pause=0.1)
    assert joined.get(timeout=20) == 0
    assert {state for states in work.finals().values() for state in states} == {"success"}
    assert not client.keys("windrow:inflight:*")
    before = beats(work)
    wait_until(lambda: beats(work) > before, 5, "the worker's lease goes on")


def test_people_act_on_a_full_redis(work: Work, each_server: Broker) -> None:
    """Pausing, draining, pinning, revoking and limiting are how one gets out of it, so they are not refused."""
    result = task("work").apply_async(queue="work")
    each_server.fill()
    client = work.client
    admin.pause(client, "work")
    admin.pin(client, "work", 3)
    admin.set_rate(client, "work", 10.0)
    admin.ask_drain(client, ["some/worker"])
    admin.count_decisions(client, [("work", "busy")])
    evidence.app.control.revoke(result.id)
    settings = {b"paused": b"1", b"paused_by": b"", b"pinned": b"3", b"rate": b"10.0", b"burst": b"1"}
    assert client.hgetall("windrow:queue:work") == settings
    assert client.hget("windrow:drain", "some/worker") == b"asked"
    assert [str(one, "utf-8") for one in client.zrange("windrow:revoked", 0, -1)] == [result.id]
    assert admin.purge(client, "work") == 1


def test_a_stock_producer_is_refused_by_redis_itself(work: Work, each_server: Broker) -> None:
    """A plain Celery producer gets Redis' own error: nothing is accepted silently."""
    each_server.fill()
    with pytest.raises(Exception, match="used memory"):
        Celery("stock", broker=each_server.url).send_task("tests.apps.evidence.work", queue="work", retry=False)
    assert work.client.llen("work") == 0
