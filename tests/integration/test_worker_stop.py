"""SIGTERM while thousands of fast tasks wait: the worker is gone at once, nothing ran twice, and the order is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working

ROUNDS = int(os.environ.get("WINDROW_TEST_STOPS", "2"))
"""How often each pool is stopped; more for whoever doubts."""
WAITING = 10_000
MORE_SECONDS = 1.5
"""What a stop may take beyond that of a worker with nothing to do: both feel a busy machine."""


@pytest.fixture
def work(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Work]:
    with working(redis_url, tmp_path, more=f"  pool: {request.param}") as made:
        producer(redis_url, evidence.app)
        yield made


def publish(name: str, count: int) -> list[str]:
    """Publish no-ops in one pipeline; their ids in order."""
    task: Any = evidence.app.tasks[f"tests.apps.evidence.{name}"]
    task.apply_async(queue="work")
    with evidence.app.producer_or_acquire() as together:
        return [task.apply_async(queue="work", producer=together).id for _ in range(count)]


def starts(work: Work) -> list[str]:
    return [line[3] for line in work.lines() if line[2] == "start"]


def stopped(process: subprocess.Popen[bytes]) -> float:
    """SIGTERM to the main process alone; how long it lived on, in seconds."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    return time.monotonic() - began


@pytest.mark.parametrize("work", ["prefork", "asyncio", "threads"], indirect=True)
def test_a_stop_under_ten_thousand_waiting_tasks_is_quick_and_keeps_their_order(work: Work, request: Any) -> None:
    """Hardly longer than an idle one's; each task started once, in the order of publication; what is left still waits."""
    pool = request.node.callspec.params["work"]
    most = stopped(work.start(concurrency=1)) + MORE_SECONDS
    ids = publish("await_a_while" if pool == "asyncio" else "work", WAITING)
    took, seen = [], 0
    for _ in range(ROUNDS):
        process = work.start(concurrency=1)
        wait_until(lambda before=seen: len(starts(work)) > before + 100, 20, "it works")
        took.append(stopped(process))
        seen = len(starts(work))
        assert work.client.llen("work") > 100, "it was stopped under load"
    assert max(took) < most, took
    began = starts(work)[1:]
    assert began == ids[: len(began)]
    ended = [line[3] for line in work.lines() if line[2] == "end"]
    assert sorted(ended[1:]) == sorted(began)
    wait_until(lambda: not work.client.keys("windrow:inflight:*"), 5, "nothing stays in flight")
    assert work.client.llen("work") == WAITING - len(began)
    assert work.client.hlen("windrow:workers") == 0


@pytest.mark.parametrize("work", ["prefork", "asyncio"], indirect=True)
def test_what_was_taken_and_not_started_goes_back_in_its_order_behind_a_long_task(work: Work, request: Any) -> None:
    """A running task finishes in its grace; meanwhile all the others are on their list again, oldest first."""
    pool = request.node.callspec.params["work"]
    name = "await_a_while" if pool == "asyncio" else "work"
    task: Any = evidence.app.tasks[f"tests.apps.evidence.{name}"]
    process = work.start(concurrency=1)
    warm = publish(name, 50)
    wait_until(lambda: len(starts(work)) == len(warm) + 1, 20, "its pace is known")
    long = task.apply_async((1.5,), queue="work").id
    rest = publish(name, 30)
    wait_until(lambda: starts(work)[-1] == long, 10, "the long one runs")
    before = len(starts(work))
    stopped(process)
    assert len(starts(work)) == before
    ended = [line[3] for line in work.lines() if line[2] == "end"]
    assert ended[-1] == long
    assert work.client.llen("work") == len(rest) + 1
    work.start(concurrency=1)
    wait_until(lambda: len(starts(work)) == before + len(rest) + 1, 20, "the rest runs")
    assert starts(work)[before + 1 :] == rest
