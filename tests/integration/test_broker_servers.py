"""The core flows on each server that Windrow supports, with and without a prefix before every key."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from tests.apps import evidence
from tests.brokers import Broker
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import admin, observe
from windrow.broker.recovery import Recovery

PREFIX = {"redis-6.2": "tenant:", "redis-7": "", "valkey-9": "tenant:"}
"""Without a prefix the first is taken by the other tests on each server, the last by all tests."""


@pytest.fixture
def work(each_server: Broker, tmp_path: Path) -> Iterator[Work]:
    prefix = PREFIX[each_server.flavour]
    with working(each_server.url, tmp_path, prefix=prefix) as made:
        producer(each_server.url, evidence.app, prefix)
        yield made
    for options in ("broker_transport_options", "result_backend_transport_options"):
        evidence.app.conf[options] = {}


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def starts(work: Work) -> list[str]:
    return [line[3] for line in work.lines() if line[2] == "start"]


def test_the_core_flows_hold_on_each_server(work: Work) -> None:
    """Priorities, results, waking, retries, delays, revocation, canvas, recovery; all keys have the prefix."""
    queue = {"queue": "work"}
    ids = {(p, n): task("work").apply_async(queue="work", priority=p).id for n in range(2) for p in (9, 3, 0, 6)}
    worker = work.start(concurrency=1)
    wait_until(lambda: len(starts(work)) == 8, 15, "all run")
    assert starts(work) == [ids[p, n] for p in (0, 3, 6, 9) for n in range(2)]

    began = time.monotonic()
    for n in range(5):
        assert task("add").apply_async((n, 1), queue="work").get(timeout=5) == n + 1
    assert time.monotonic() - began < 2, "each push wakes the idle worker"

    assert task("again").apply_async((2,), queue="work").get(timeout=10) == 2
    add, total = task("add").s, task("total").s
    assert chain(add(1, 2).set(**queue), add(3).set(**queue))().get(timeout=10) == 6
    assert sorted(group(add(n, n).set(**queue) for n in range(3))().get(timeout=10)) == [0, 2, 4]
    assert chord([add(n, 1).set(**queue) for n in range(5)])(total().set(**queue)).get(timeout=10) == 15

    asked = time.monotonic()
    delayed = task("work").apply_async(queue="work", countdown=0.7)
    never = task("work").apply_async(queue="work", countdown=0.7)
    never.revoke()
    wait_until(lambda: delayed.id in starts(work), 5, "it starts", pause=0.005)
    assert 0.6 <= time.monotonic() - asked <= 1.7
    assert never.id not in starts(work)

    running = task("work").apply_async((60,), queue="work")
    wait_until(lambda: running.id in starts(work), 5, "it runs")
    running.revoke(terminate=True)
    wait_until(lambda: [of for of in work.finals().values() if of == ["cancelled"]][1:], 10, "both revoked ones have ended")

    again = task("work").apply_async((1.0,), queue="work")
    wait_until(lambda: again.id in starts(work), 10, "it runs")
    name = work.id_of(worker) or ""
    os.killpg(worker.pid, signal.SIGKILL)
    admin.report_exit(work.client, [name])
    assert Recovery(work.client, {}).tick(time.monotonic()) == [name]
    work.start(concurrency=1)
    accepted = {event["id"] for event in work.events() if event["k"] == "accepted"}
    wait_until(lambda: accepted == set(work.finals()), 20, "every execution has a final state")
    assert starts(work).count(again.id) == 2
    assert all(len(of) == 1 for of in work.finals().values())
    assert observe.observe(work.client, ["work"])["work"].in_flight == 0
    strangers = [key for key in work.client.keys("*") if not key.startswith(work.prefix.encode())]
    assert strangers == []
