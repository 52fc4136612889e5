"""What follows an attempt is published once, however often the attempt, or its publishing, is repeated."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from celery import chain, group

from tests.apps import steps
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.local.servers import EmbeddedRedis

APP = "tests.apps.steps:app"


def _settled(work: Work) -> bool:
    """Whether every execution that was accepted has its final and nothing is in flight."""
    accepted = {event["id"] for event in work.events() if event["k"] == "accepted"}
    return accepted <= set(work.finals()) and not work.client.keys("windrow:inflight:*")


def _count(work: Work, *whats: str) -> Counter[str]:
    return Counter(line[2] for line in work.lines() if line[2] in whats)


@pytest.mark.parametrize("linked", ["chain", "link", "links", "group"])
def test_what_follows_a_repeated_attempt_runs_once(redis_url: str, tmp_path: Path, linked: str) -> None:
    """A child dies between publishing what follows and storing its result: the body is repeated, what follows is not."""
    with working(redis_url, tmp_path, queue="celery", app=APP) as work:
        producer(redis_url, steps.app)
        work.start(env={"DIE_AT": "tests.apps.steps.step"})
        first = steps.step.s("a")
        if linked == "chain":
            chain(first, steps.follow.s())()
        elif linked == "link":
            first.apply_async(link=steps.follow.s())
        elif linked == "links":
            first.apply_async(link=[steps.follow.s(), steps.follow.s()])
        else:
            chain(first, group(steps.follow.s(), steps.follow.s()))()
        expected = 2 if linked in ("links", "group") else 1
        wait_until(lambda: _count(work, "end")["end"] == 2, 20, "the body runs again")
        wait_until(lambda: _settled(work), 20, "everything has ended")
        assert _count(work, "follow") == {"follow": expected}
        work.stop()


def test_a_durable_step_of_a_repeated_attempt_is_published_once(
    redis_url: str, migrated_database_url: str, tmp_path: Path
) -> None:
    """A next step whose task is durable goes out with its predecessor's end, and runs once."""
    with working(redis_url, tmp_path, queue="celery", app=APP) as work:
        producer(redis_url, steps.app)
        work.start(env={"DIE_AT": "tests.apps.steps.step", "DATABASE_URL": migrated_database_url})
        chain(steps.step.s("a"), steps.durable_follow.s())()
        wait_until(lambda: _count(work, "end")["end"] == 2, 20, "the body runs again")
        wait_until(lambda: _settled(work) and _count(work, "follow"), 20, "everything has ended")
        assert _count(work, "follow") == {"follow": 1}
        work.stop()


def test_errbacks_of_a_repeated_attempt_run_once(redis_url: str, tmp_path: Path) -> None:
    """A child dies between publishing its errbacks and telling of its failure: each errback runs once."""
    with working(redis_url, tmp_path, queue="celery", app=APP) as work:
        producer(redis_url, steps.app)
        work.start(env={"DIE_AT": "tests.apps.steps.fails"})
        steps.fails.apply_async(link_error=[steps.told.s(), steps.told.si("again")])
        wait_until(lambda: _count(work, "fails")["fails"] == 2, 20, "the body runs again")
        wait_until(lambda: _settled(work), 20, "everything has ended")
        assert _count(work, "told") == {"told": 2}
        work.stop()


@pytest.mark.timeout(90)
def test_a_step_published_into_a_frozen_redis_runs_once(state_dir: Path, tmp_path: Path) -> None:
    """Redis freezes for longer than a publish may take, and then carries out all tries: the step runs once."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    assert server.process is not None
    pid = server.process.pid
    try:
        with working(url, tmp_path, queue="celery", app=APP) as work:
            producer(url, steps.app)
            work.start()
            chain(steps.step.s("a"), steps.follow.s())().get(timeout=20)  # the ways to Redis are known
            last = chain(steps.step.s("b", seconds=1.0), steps.follow.s())()
            wait_until(lambda: _count(work, "start")["start"] == 2, 10, "the first step runs")
            os.kill(pid, signal.SIGSTOP)
            wait_until(lambda: work.log().count("waits for Redis to be published") >= 2, 20, "publishing is tried again")
            os.kill(pid, signal.SIGCONT)
            assert last.get(timeout=20) == "b-step"
            wait_until(lambda: _settled(work), 20, "everything has ended")
            assert _count(work, "follow") == {"follow": 2}
            assert sum(event["k"] == "accepted" for event in work.events()) == 4
            work.stop()
    finally:
        os.kill(pid, signal.SIGCONT)
        server.stop()
