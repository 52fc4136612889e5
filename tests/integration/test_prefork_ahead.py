"""The prefork pool's short jobs that are sent ahead: nothing waits behind a long one, nothing is lost or runs twice."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working


@pytest.fixture
def work(redis_url: str, tmp_path: Path) -> Iterator[Work]:
    """A queue whose app is installed as a producer here."""
    with working(redis_url, tmp_path) as made:
        producer(redis_url, evidence.app)
        yield made


def send(seconds: float, count: int = 1) -> list[str]:
    task = evidence.app.tasks["tests.apps.evidence.work"]
    return [task.apply_async((seconds,), queue="work").id for _ in range(count)]


def at(work: Work, what: str) -> dict[str, float]:
    return {line[3]: float(line[0]) for line in work.lines() if line[2] == what}


def queued(work: Work) -> list[str]:
    """The task ids in the queue, the next one first."""
    return [json.loads(message)["headers"]["id"] for message in reversed(work.client.lrange("work", 0, -1))]


def warmed(work: Work, concurrency: int) -> None:
    """A worker that has learnt that its tasks are short, and has nothing left to do."""
    work.start(concurrency=concurrency)
    ids = send(0, 300)
    wait_until(lambda: len(at(work, "end")) >= len(ids), 20, "the short ones have run")


def test_short_tasks_do_not_wait_behind_a_long_one(work: Work) -> None:
    """One child of two runs a task that turns out long: what was sent to it is run by the other at once."""
    warmed(work, 2)
    before = send(0, 40)
    (long,) = send(3)
    after = send(0, 100)
    wait_until(lambda: set(before + after) <= set(at(work, "end")), 10, "the short ones have run")
    assert long not in at(work, "end")
    assert max(at(work, "end")[one] for one in after) - at(work, "start")[long] < 1.0


def test_what_waits_behind_long_tasks_goes_back_to_its_queue(work: Work) -> None:
    """All children run tasks that turn out long: what was taken ahead is given back, in its order, within a moment."""
    warmed(work, 2)
    longs = send(2, 2)
    rest = send(0, 50)
    wait_until(lambda: set(longs) <= set(at(work, "start")), 10, "the long ones run")
    begun = set(at(work, "start"))
    left = [one for one in rest if one not in begun]
    back = wait_until(lambda: len(waiting := queued(work)) == len(left) and waiting, 1, "the others are back in their queue")
    assert back == left
    wait_until(lambda: set(rest) <= set(at(work, "end")), 15, "all have run")
    assert sum(line[2] == "start" for line in work.lines()) == 300 + 2 + 50


def test_a_killed_child_loses_nothing_and_counts_only_what_ran(work: Work) -> None:
    """Children are killed with tasks sent ahead: all run, and only what ran in a killed child runs again and is counted."""
    warmed(work, 2)
    (worker,) = work.processes
    ids = send(0.002, 1000)
    for ended in (500, 700, 900):
        wait_until(lambda enough=ended: len(at(work, "end")) >= enough, 20, "they run")
        os.kill(work.children(worker)[0], signal.SIGKILL)
    wait_until(lambda: set(ids) <= set(at(work, "end")), 20, "all have run")
    starts = Counter(line[3] for line in work.lines() if line[2] == "start")
    again = [one for one, times in starts.items() if times > 1]
    assert len(again) <= 3
    assert work.client.hlen("windrow:recoveries") <= 3
    wait_until(lambda: len(work.finals()) == 1300, 10, "all are on record")
    assert set(map(tuple, work.finals().values())) == {("success",)}


def test_a_large_call_arrives_whole(work: Work) -> None:
    """Arguments of megabytes go to a child and its result comes back."""
    work.start(concurrency=1)
    add = evidence.app.tasks["tests.apps.evidence.add"]
    for size in (10, 16_000, 17_000, 3_000_000):
        assert len(add.apply_async(("x" * size, "y"), queue="work").get(timeout=20)) == size + 1


def test_terminating_a_task_ends_only_that_task(work: Work) -> None:
    """`revoke(terminate=True)` of a running task ends it; those that were sent behind it run."""
    warmed(work, 1)
    (victim,) = send(30)
    wait_until(lambda: victim in at(work, "start"), 10, "it runs")
    ids = send(0, 20)
    evidence.app.control.revoke(victim, terminate=True, signal="SIGKILL")
    wait_until(lambda: set(ids) <= set(at(work, "end")), 10, "the others have run")
    assert victim not in at(work, "end")
    assert sum(line[2] == "start" for line in work.lines()) == 321
    wait_until(lambda: ["cancelled"] in work.finals().values(), 5, "it is on record")


def test_sigterm_hands_back_what_was_sent_ahead(work: Work) -> None:
    """A drain with tasks sent ahead: what no child has begun is in its queue, the rest has run, nothing twice."""
    warmed(work, 2)
    (worker,) = work.processes
    ids = send(0.004, 400)
    wait_until(lambda: len(at(work, "end")) >= 320, 10, "they run")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 0
    ran = set(at(work, "end")) & set(ids)
    assert len(ran) + work.client.llen("work") == 400
    assert work.client.llen("work") > 100  # the stop came in the middle, however late a busy machine saw the 320
    work.start(concurrency=2)
    wait_until(lambda: set(ids) <= set(at(work, "end")), 20, "all have run")
    starts = [line[3] for line in work.lines() if line[2] == "start"]
    assert len(starts) == len(set(starts)) == 700


def test_terminating_tasks_in_a_stream_ends_no_other(work: Work) -> None:
    """Tasks of a stream are revoked with terminate while they run or just ended: every other task runs once, to its end."""
    warmed(work, 2)
    ids = send(0.003, 400)
    victims = []
    for ended in range(320, 640, 40):
        wait_until(lambda enough=ended: len(at(work, "end")) >= enough, 20, "they run", pause=0.001)
        victims.append(list(at(work, "start"))[-1])
        evidence.app.control.revoke(victims[-1], terminate=True, signal="SIGKILL")
    others = set(ids) - set(victims)
    wait_until(lambda: others <= set(at(work, "end")), 20, "the others have run")
    starts = Counter(line[3] for line in work.lines() if line[2] == "start")
    assert {one for one in others if starts[one] != 1} == set()
    assert work.client.hgetall("windrow:recoveries") == {}


def test_an_end_does_not_wait_for_the_next_task(work: Work) -> None:
    """A task's end is on record while the next one, which was sent behind it, runs."""
    warmed(work, 1)
    shorts = send(0, 20)
    (long,) = send(3)
    wait_until(lambda: long in at(work, "start"), 10, "the long one runs")
    wait_until(lambda: len(work.finals()) == 320, 1, "the others are on record")
    assert long not in at(work, "end")
    assert set(shorts) <= set(at(work, "end"))


def test_children_are_replaced_without_loss(redis_url: str, tmp_path: Path) -> None:
    """`recycle.tasks`: a child that leaves after so many tasks takes nothing along that was sent ahead."""
    with working(redis_url, tmp_path, more="  recycle: {tasks: 50}") as work:
        producer(redis_url, evidence.app)
        work.start(concurrency=2)
        ids = send(0, 500)
        wait_until(lambda: set(ids) <= set(at(work, "end")), 30, "all have run")
        assert Counter(line[3] for line in work.lines() if line[2] == "start").most_common(1)[0][1] == 1
        assert len({line[1] for line in work.lines()}) >= 8
