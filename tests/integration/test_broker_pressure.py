"""The recorder is away: the event stream stays bounded, no end is dropped, and the records are complete afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import chain
from kombu.exceptions import OperationalError

from tests.apps import evidence, talking
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker import events, pressure
from windrow.records.recorder import Recorder

MOST = 150


@pytest.fixture
def work(redis_url: str, tmp_path: Path) -> Iterator[Work]:
    with working(redis_url, tmp_path) as made:
        producer(redis_url, evidence.app)
        pressure.set_most(made.client, MOST)
        yield made


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def kinds(work: Work) -> list[str]:
    return [event["k"] for event in work.events()]


def fill(work: Work, entries: int) -> None:
    """The recorder has been away for so many entries."""
    with work.client.pipeline(transaction=False) as pipe:
        for _ in range(entries - work.client.xlen("windrow:events")):
            pipe.xadd("windrow:events", {"v": "1", "e": "[]"})
        pipe.execute()


def test_beyond_the_bound_details_are_left_out_and_ends_are_not(work: Work) -> None:
    """No `started`, no progress and no `moved` goes on the stream, every acceptance and every end does, the work is done."""
    work.start(concurrency=2)
    fill(work, MOST + 1)
    wait_until(lambda: work.client.get("windrow:events:behind"), 5, "the workers have seen that the records are behind")
    slow = [task("work").apply_async((0.3,), queue="work") for _ in range(4)]
    progress = task("await_progress").apply_async((0.3,), queue="work")
    limited = [task("limited").apply_async(queue="work") for _ in range(4)]
    retried = task("again").apply_async((2, 0.1), queue="work")
    steps = chain(task("add").s(1, 2).set(queue="work"), task("add").s(3).set(queue="work"))()
    assert steps.get(timeout=20) == 6
    expected = len(slow) + len(limited) + 1 + 1 + 2
    wait_until(lambda: len(work.finals()) == expected, 20, "every execution has a final state")
    assert progress.id
    assert retried.get(timeout=5) == 2
    assert set(kinds(work)) == {"accepted", "ended"}
    assert kinds(work).count("accepted") == expected + 2
    assert {state for states in work.finals().values() for state in states} == {"success"}


def test_a_twentieth_of_the_bound_is_as_far_as_logs_go(redis_url: str, tmp_path: Path) -> None:
    """What an attempt logged is left out before any detail is, and its end says that; all else of the end is there."""
    with working(redis_url, tmp_path, app="tests.apps.talking:app") as work:
        pressure.set_most(work.client, MOST)
        say = producer(redis_url, talking.app).tasks["tests.apps.talking.say"]
        work.start(concurrency=1)
        say.apply_async(("before",), queue="work")
        wait_until(lambda: len(work.finals()) == 1, 20, "one is done")
        fill(work, MOST // 20 + 1)
        wait_until(lambda: work.client.get("windrow:events:no_logs"), 5, "the workers have seen that the records are behind")
        for text in ('a "quote"', "a backslash \\", 'both \\"', '","log":"', "ü\n"):
            say.apply_async((text,), queue="work")
        wait_until(lambda: len(work.finals()) == 6, 20, "all are done")
        assert work.client.get("windrow:events:behind") is None
        kept, *dropped = [event for event in work.events() if event["k"] == "ended"]
        started = [event for event in work.events() if event["k"] == "started"]
    assert "before by logging" in kept["log"]
    assert [event["log"] for event in dropped] == [False] * 5
    assert [event["result"] for event in dropped] == ["None"] * 5
    assert kept.keys() == dropped[0].keys()
    assert started or all(event["started"] for event in dropped)


def test_no_logs_are_put_into_a_redis_that_is_almost_full(redis_url: str, tmp_path: Path) -> None:
    """From nine tenths of its memory on, whatever the stream's length."""
    with working(redis_url, tmp_path, app="tests.apps.talking:app") as work:
        say = producer(redis_url, talking.app).tasks["tests.apps.talking.say"]
        work.start(concurrency=1)
        used = work.client.info("memory")["used_memory"]
        work.client.config_set("maxmemory", int(used * 0.9))
        try:
            wait_until(lambda: work.client.get("windrow:events:no_logs"), 10, "the workers have seen that Redis is almost full")
            work.client.config_set("maxmemory", 0)
            say.apply_async(("a word",), queue="work")
            wait_until(lambda: len(work.finals()) == 1, 20, "it is done")
        finally:
            work.client.config_set("maxmemory", 0)
        (end,) = [event for event in work.events() if event["k"] == "ended"]
    assert end["log"] is False


def test_beyond_twice_the_bound_new_tasks_are_refused_and_accepted_ones_go_on(work: Work) -> None:
    """A new task gets one sentence that says how far the records are behind; a retry of what runs is taken."""
    again = task("again").apply_async((1, 1.0), queue="work")
    fill(work, 2 * MOST + 1)
    began = time.monotonic()
    with pytest.raises(
        OperationalError, match=r"publishing .*\.work was refused: the records must not be too far behind, and 301 entries"
    ):
        task("work").apply_async(queue="work")
    with pytest.raises(OperationalError, match="refused"):
        task("work").apply_async(queue="work", countdown=30)
    assert time.monotonic() - began < 1
    work.start(concurrency=1)
    assert again.get(timeout=20) == 1
    wait_until(lambda: len(work.finals()) == 1, 5, "its end is on the stream")
    work.client.xtrim("windrow:events", maxlen=MOST)
    assert task("add").apply_async((1, 2), queue="work").get(timeout=10) == 3


async def _record(recorder: Recorder, work: Work) -> None:
    entries = [(name.decode(), events.decode(entry)) for name, entry in work.client.xrange("windrow:events")]
    await recorder.apply(entries)


@pytest.mark.asyncio
async def test_records_are_complete_after_the_recorder_comes_back(work: Work, migrated_database_url: str) -> None:
    """What the recorder missed makes the same rows: each execution with its final, its attempts and their times."""
    from sqlalchemy import text

    from windrow.records.engine import make_engine

    work.start(concurrency=2)
    fill(work, MOST + 1)
    wait_until(lambda: work.client.get("windrow:events:behind"), 5, "the workers have seen that the records are behind")
    results = [task("work").apply_async((0.05,), queue="work") for _ in range(40)]
    task("again").apply_async((2, 0.2), queue="work")
    wait_until(lambda: len(work.finals()) == len(results) + 1, 30, "every execution has a final state")
    engine = make_engine(migrated_database_url)
    try:
        await _record(Recorder(engine, stream="windrow:events"), work)
        async with engine.connect() as connection:
            rows = (await connection.execute(text(
                "select s.code, count(*), count(e.started_at), count(e.finished_at) from windrow.executions e "
                "join windrow.execution_statuses s on s.id = e.status_id group by 1"
            ))).all()  # fmt: skip
            attempts = (await connection.execute(text(
                "select count(*), count(started_at), count(ended_at) from windrow.attempts"
            ))).one()  # fmt: skip
    finally:
        await engine.dispose()
    assert [tuple(row) for row in rows] == [("success", 41, 41, 41)]
    assert tuple(attempts) == (43, 43, 43)
