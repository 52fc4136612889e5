"""What waits for a task that was lost with its process is told, whoever was left to tell it."""

from __future__ import annotations

import base64
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from celery import chord

from tests.apps import steps
from tests.integration.test_broker_kill import Leader
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import admin
from windrow.broker.untold import TASK

APP = "tests.apps.steps:app"


def _count(work: Work, what: str) -> int:
    return Counter(line[2] for line in work.lines())[what]


def _kill(work: Work, process: Any) -> None:
    """The whole worker dies, and whoever watches it says so."""
    worker = work.id_of(process) or ""
    process.send_signal(signal.SIGKILL)
    process.wait()
    admin.report_exit(work.client, [worker])


def _chord(stays: Any) -> tuple[Any, Any]:
    """A chord of a part that returns and one that stays until its worker dies; the chord's result and the lost part's."""
    lost = stays.s().set(task_id="lost-part")
    result = chord([steps.part.s("a"), lost], steps.join.s().on_error(steps.told.s()))()
    return result, result.parent[1]


@pytest.mark.parametrize("early", [True, False])
def test_a_chord_whose_part_is_lost_with_its_worker_fails_once(redis_url: str, tmp_path: Path, early: bool) -> None:
    """Acknowledged early, or past its recoveries: the part's result and the chord's body fail, the errback runs once."""
    with working(redis_url, tmp_path, queue="celery", app=APP, more="  maxRecoveries: 0") as work:
        producer(redis_url, steps.app)
        leader = Leader(work, max_recoveries=0)
        first = work.start()
        result, part = _chord(steps.stays_early if early else steps.stays)
        wait_until(lambda: _count(work, "stays") == 1 and ["success"] in work.finals().values(), 10, "one runs, one has ended")
        wait_until(lambda: work.client.keys("windrow:started:*"), 5, "the start is noted")
        _kill(work, first)
        wait_until(lambda: ["lost"] in work.finals().values(), 10, "it is lost, with no worker there")
        work.start()
        with pytest.raises(Exception, match=r"lost: (acknowledged early, and its worker died|its worker died 1 times)"):
            part.get(timeout=20, propagate=True)
        with pytest.raises(Exception, match="lost"):
            result.get(timeout=20)
        wait_until(lambda: _count(work, "told") == 1, 10, "the errback runs")
        wait_until(lambda: not work.client.exists(work.client.keys_of.untold), 5, "all is told")
        told = [event for event in work.events() if event["k"] == "accepted" and event["task"] == TASK]
        assert len(told) == 1
        wait_until(lambda: work.finals().get(told[0]["id"]) == ["success"], 5, "the telling is on record")
        assert (_count(work, "told"), _count(work, "join"), _count(work, "stays")) == (1, 0, 1)
        leader.stop()


@pytest.mark.parametrize("pool", ["asyncio", "threads"])
def test_a_chord_whose_part_is_lost_with_a_guarded_process_fails(redis_url: str, tmp_path: Path, pool: str) -> None:
    """The worker lives on, its process with the task was replaced."""
    with working(redis_url, tmp_path, queue="celery", app=APP, more=f"  pool: {pool}\n  maxRecoveries: 0") as work:
        producer(redis_url, steps.app)
        leader = Leader(work, max_recoveries=0)
        process = work.start(concurrency=4)
        result, _ = _chord(steps.stays_early)
        also = chord([steps.part.s("b"), steps.stays.s()], steps.join.s())()
        wait_until(lambda: _count(work, "stays") == 2 and _count(work, "part") == 2, 10, "all parts run")
        (child,) = work.children(process)
        os.kill(child, signal.SIGKILL)
        for one in (result, also):
            with pytest.raises(Exception, match="lost"):
                one.get(timeout=20)
        wait_until(lambda: _count(work, "told") == 1, 10, "the errback runs")
        leader.stop()


def test_a_result_that_was_stored_before_the_death_stays(redis_url: str) -> None:
    """A process that died after it stored a success, and before it said so, does not turn into a failure for who waits."""
    app = producer(redis_url, steps.app)
    app.backend.store_result("stored", 5, "SUCCESS")
    body = base64.b64encode(b"[[], {}, {}]").decode()
    headers = {"id": "stored", "task": "tests.apps.steps.part", "lang": "py"}
    message = {"headers": headers, "body": body, "content-type": "application/json", "content-encoding": "utf-8"}
    app.tasks[TASK].run("its worker died", message)
    assert app.AsyncResult("stored").get(timeout=5) == 5
    headers["id"] = "not-stored"
    app.tasks[TASK].run("its worker died", message)
    with pytest.raises(Exception, match="lost: its worker died"):
        app.AsyncResult("not-stored").get(timeout=5)
