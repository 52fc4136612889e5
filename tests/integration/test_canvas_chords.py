"""A chord's parts count once each, and its body runs once, whoever dies at which moment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group

from tests.apps import steps
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.authoring.chords import begin, part_returned
from windrow.authoring.owed import owed_by

APP = "tests.apps.steps:app"


def _settled(work: Work) -> bool:
    accepted = {event["id"] for event in work.events() if event["k"] == "accepted"}
    return accepted <= set(work.finals()) and not work.client.keys("windrow:inflight:*")


def _count(work: Work, what: str) -> Counter[str]:
    return Counter(line[3] for line in work.lines() if line[2] == what)


@pytest.mark.parametrize("moment", ["before", "counted", "complete", "published", "away"])
def test_a_chord_goes_on_once_whenever_a_part_dies(redis_url: str, tmp_path: Path, moment: str) -> None:
    """A part's process dies before it is counted, after, when it was the last, or when the body is out: the body runs once."""
    with working(redis_url, tmp_path, queue="celery", app=APP) as work:
        producer(redis_url, steps.app)
        work.start(env={"DIE_PART": moment})
        names = ["a", "b", "c"]
        result = chord([steps.part.s(name) for name in names], steps.join.s())()
        assert [one[0] for one in result.get(timeout=30)] == names
        wait_until(lambda: _settled(work), 20, "everything has ended")
        assert _count(work, "join") == {result.id: 1}
        assert sum(_count(work, "part").values()) == (3 if moment == "away" else 4)
        assert all(states == ["success"] for states in work.finals().values())
        assert not work.client.keys("celery-taskset-meta-*.[jstd]")
        work.stop()


def test_a_failed_part_fails_the_body_once(redis_url: str, tmp_path: Path) -> None:
    """A part has failed and the last one's process dies after it told the body's errbacks: they run once."""
    with working(redis_url, tmp_path, queue="celery", app=APP) as work:
        producer(redis_url, steps.app)
        work.start(env={"DIE_PART": "published"})
        body = steps.join.s().on_error(steps.told.s())
        result = chord([steps.part.s("a"), steps.fails.s()], body)()
        with pytest.raises(Exception, match="as it should"):
            result.get(timeout=30)
        wait_until(lambda: steps.__name__ and sum(_count(work, "told").values()) >= 1 and _settled(work), 20, "it has ended")
        assert sum(_count(work, "told").values()) == 1
        assert not _count(work, "join")
        work.stop()


def test_nested_chords_keep_their_shape(redis_url: str, tmp_path: Path) -> None:
    """Groups, chains and chords inside a chord's header, and a group as its body, give what they give in Celery."""
    with working(redis_url, tmp_path, queue="celery", app=APP) as work:
        producer(redis_url, steps.app)
        work.start()
        part, follow, join = steps.part, steps.follow, steps.join
        nested = chord([chain(part.s("a"), group(follow.s(), follow.s())), part.s("c")], join.s())()
        chained = chord([chain(part.s("a"), follow.s()), chord([part.s("b"), part.s("c")], follow.s())], join.s())()
        after = chain(part.s("z"), chord([follow.s(), follow.s()], join.s()), follow.s())()
        to_group = chord([part.s("a")], group(join.s(), follow.s()))()
        pair, last = nested.get(timeout=20)
        assert ([one[0] for one in pair], last[0]) == (["a", "a"], "c")
        first, second = chained.get(timeout=20)
        assert (first[0], [one[0] for one in second]) == ("a", ["b", "c"])
        assert [one[0] for one in after.get(timeout=20)] == ["z", "z"]
        assert [[one[0] for one in each] for each in to_group.get(timeout=20)] == [["a"], ["a"]]
        wait_until(lambda: _settled(work), 20, "everything has ended")
        work.stop()


class Part:
    def __init__(self, task_id: str, index: int | None, group_id: str = "G") -> None:
        self.id, self.group, self.group_index = task_id, group_id, index
        self.chord = dict(steps.join.s().set(task_id="body", queue="body"))


def _bodies(client: Any) -> int:
    return client.llen("body")


def test_a_part_counts_once_whatever_its_repetition_returns(redis_client: Any, redis_url: str) -> None:
    """A repeated part with another result is the same part; the body is published when all are there, and never again."""
    backend = producer(redis_url, steps.app).backend
    begin(backend, "G", 2)
    part_returned(backend, Part("one", 0), "SUCCESS", "first")
    part_returned(backend, Part("one", 0), "SUCCESS", "second")
    assert _bodies(redis_client) == 0
    part_returned(backend, Part("two", 1), "SUCCESS", "x")
    part_returned(backend, Part("two", 1), "SUCCESS", "y")
    part_returned(backend, Part("one", 0), "SUCCESS", "z")
    assert _bodies(redis_client) == 1
    (sent,) = redis_client.keys("windrow:sent:G:*")
    assert redis_client.ttl(sent) <= 300  # nothing of a chord that has ended stays


def test_two_parts_that_see_the_chord_complete_publish_one_body(redis_client: Any, redis_url: str, monkeypatch: Any) -> None:
    """Both have read all parts before either has published: `publish.lua` refuses the second."""
    backend = producer(redis_url, steps.app).backend
    call = steps.chords._call
    monkeypatch.setattr(steps.chords, "_call", lambda backend, script, keys, args: (
        None if script == "chord" and args[1] == "done" else call(backend, script, keys, args)))  # fmt: skip
    begin(backend, "G", 1)
    part_returned(backend, Part("one", 0), "SUCCESS", "x")
    part_returned(backend, Part("one", 0), "SUCCESS", "x")
    assert _bodies(redis_client) == 1
    assert redis_client.hget("windrow:refused", "published_again") == b"1"


def test_a_chord_applied_again_runs_again(redis_client: Any, redis_url: str) -> None:
    """A frozen chord that somebody applies a second time is a new run; a repeated attempt's is not."""
    backend = producer(redis_url, steps.app).backend
    for _ in range(2):
        begin(backend, "G", 1)
        part_returned(backend, Part("one", 0), "SUCCESS", "x")
    assert _bodies(redis_client) == 2
    for _ in range(2):
        with owed_by("parent"):
            begin(backend, "G", 1)
        part_returned(backend, Part("one", 0), "SUCCESS", "x")
    assert _bodies(redis_client) == 3
