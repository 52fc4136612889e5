"""The same message twice, and the same task id twice: refused while the one lives, an exact copy after its end too."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, until_settled, working
from windrow.broker import events


@pytest.fixture
def work(redis_url: str, tmp_path: Path) -> Any:
    with working(redis_url, tmp_path) as made:
        producer(redis_url, evidence.app)
        yield made


def _task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def _count(work: Work, what: str) -> Counter[str]:
    return Counter(line[3] for line in work.lines() if line[2] == what)


def test_copies_put_in_by_hand_run_once(work: Work) -> None:
    """Each message is put into its list three more times, in any order: each runs once and has one final."""
    dice = random.Random(1)
    ids = [_task("work").apply_async((dice.choice((0, 0.01)),), queue=work.queue).id for _ in range(200)]
    messages = [*work.client.lrange(work.queue, 0, -1)]
    copies = messages * 3
    dice.shuffle(copies)
    for copy in copies:
        (work.client.lpush if dice.random() < 0.5 else work.client.rpush)(work.queue, copy)
    work.start(concurrency=2)
    work.start(concurrency=2)
    wait_until(lambda: work.client.llen(work.queue) == 0 and not work.client.keys("windrow:inflight:*"), 30, "all is taken")
    assert _count(work, "end") == dict.fromkeys(ids, 1)
    until_settled(work, [event["id"] for event in work.events() if event["k"] == "accepted"], 10)
    assert all(states == ["success"] for states in work.finals().values())
    assert sum(event["k"] == events.REFUSED and event["what"] == "copy" for event in work.events()) == 600
    # After the end, too.
    for message in messages:
        work.client.lpush(work.queue, message)
    wait_until(lambda: work.client.llen(work.queue) == 0 and not work.client.keys("windrow:inflight:*"), 30, "all is taken")
    assert _count(work, "end") == dict.fromkeys(ids, 1)
    assert work.client.hgetall("windrow:held") == {}


def test_a_copy_of_a_stock_producers_message_runs_once(work: Work) -> None:
    """A message without Windrow's header is told from its copy by its delivery tag, also when it was handed back between."""
    _task("work").apply_async((0.3,), queue=work.queue)
    raw = json.loads(work.client.lpop(work.queue))
    del raw["headers"]["windrow"]
    work.client.lpush(work.queue, json.dumps(raw), json.dumps(raw))
    work.start(concurrency=2)
    wait_until(lambda: _count(work, "end"), 10, "it has run")
    wait_until(lambda: work.client.llen(work.queue) == 0 and not work.client.keys("windrow:inflight:*"), 30, "all is taken")
    assert [*_count(work, "start").values()] == [1]


def test_a_task_id_that_is_in_use_is_refused_on_record_and_free_after_its_end(work: Work) -> None:
    """The same id with another message: `rejected` while the one runs, a new execution after it has ended."""
    work.start(concurrency=2)
    _task("work").apply_async((1.0,), queue=work.queue, task_id="fixed")
    wait_until(lambda: _count(work, "start"), 10, "it runs")
    _task("work").apply_async((0.0,), queue=work.queue, task_id="fixed")
    wait_until(lambda: ["rejected"] in work.finals().values(), 10, "the second is refused")
    assert _count(work, "end") == {}
    wait_until(lambda: _count(work, "end")["fixed"] == 1, 10, "the first ends")
    wait_until(lambda: not work.client.keys("windrow:inflight:*"), 10, "that is told")
    _task("work").apply_async((0.0,), queue=work.queue, task_id="fixed")
    wait_until(lambda: _count(work, "end")["fixed"] == 2, 10, "the third runs")
    reasons = [event["reason"] for event in work.events() if event.get("state") == "rejected"]
    assert len(reasons) == 1
    assert "task id" in reasons[0]


def test_retries_and_hand_backs_are_no_copies(work: Work) -> None:
    """A retry has the id of its predecessor, and what is handed back is the same message: both run."""
    worker = work.start(concurrency=1)
    again = _task("again").apply_async((3,), queue=work.queue)
    assert again.get(timeout=10) == 3
    ids = [_task("work").apply_async((0.5,), queue=work.queue).id for _ in range(4)]
    wait_until(lambda: _count(work, "start"), 10, "one runs")
    worker.terminate()
    worker.wait(10)
    work.start(concurrency=2)
    wait_until(lambda: _count(work, "end") == dict.fromkeys(ids, 1), 20, "each has run once")
    wait_until(lambda: work.client.hgetall("windrow:held") == {}, 5, "nothing is held any more")
    assert not [event for event in work.events() if event["k"] == events.REFUSED]
