"""`self.replace(…)`: the old task ends and the new one is accepted in one step, whoever dies meanwhile."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from tests.apps import steps
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.records.fold import fold

APP = "tests.apps.steps:app"
RESULTS = {"task": "task-step", "chain": "chain-step", "group": ["group-step", "two-step"], "chord": ["chord-step", "two-step"]}
STEPS = {"task": 1, "chain": 2, "group": 3, "chord": 3}


def _settled(work: Work) -> bool:
    accepted = {event["id"] for event in work.events() if event["k"] == "accepted"}
    return accepted <= set(work.finals()) and not work.client.keys("windrow:inflight:*")


def _record(work: Work, execution: str):
    rows = fold(((UUID(event["id"]), event) for event in work.events()), {}, {})
    return rows.executions[UUID(execution)], [
        one.outcome for one in rows.attempts.values() if str(one.execution_id) == execution
    ]


@pytest.mark.parametrize(
    ("kind", "dies"),
    [
        ("task", ""), ("task", "before"), ("task", "after"), ("chain", "after"), ("group", ""), ("chord", "before"),
        ("chord", "after"),
    ],
)  # fmt: skip
def test_a_replaced_task_and_its_replacement(redis_url: str, tmp_path: Path, kind: str, dies: str) -> None:
    """Killed right before or after the replacement is published: one of the two lives, new bodies run once, one final each."""
    with working(redis_url, tmp_path, queue="celery", app=APP) as work:
        producer(redis_url, steps.app)
        work.start()
        result = steps.swap.delay(kind, dies)
        assert result.get(timeout=30) == RESULTS[kind]
        wait_until(lambda: _settled(work), 20, "everything has ended")
        told = work.lines()
        assert [line[3] for line in told if line[2] == "swap"] == [result.id] * (2 if dies == "before" else 1)
        assert len({line[3] for line in told if line[2] == "start"}) == sum(line[2] == "start" for line in told)
        assert all(states == ["success"] for states in work.finals().values())
        accepted = [event for event in work.events() if event["k"] == "accepted"]
        first = accepted[0]["id"]
        executions = {event["id"] for event in accepted}
        assert len(executions) == (1 if kind == "task" else 1 + STEPS[kind])
        record, outcomes = _record(work, first)
        assert record.state == "success"
        if kind == "task":
            assert (record.replacements, record.task) == (1, "tests.apps.steps.step")
            ends = {"": ["success"], "before": ["killed", "success"], "after": ["retried"]}
            assert sorted(outcomes) == sorted([*ends[dies], "success"])
        else:
            kinds = {"group": "chord"}
            assert record.reason == f"replaced by a {kinds.get(kind, kind)}, whose last step has its task id"
            assert [event["task_id"] for event in accepted].count(result.id) == 2  # the old one, and the last step
        work.stop()


@pytest.mark.parametrize("kind", ["task", "chain"])
def test_a_replaced_coroutine_goes_the_same_way(redis_url: str, tmp_path: Path, kind: str) -> None:
    """On the asyncio pool: the loop does not wait for Redis, and the execution goes on or ends as in a process."""
    with working(redis_url, tmp_path, queue="celery", app=APP, more="  pool: asyncio") as work:
        producer(redis_url, steps.app)
        work.start()
        result = steps.await_swap.delay(kind)
        assert result.get(timeout=30) == RESULTS[kind]
        wait_until(lambda: _settled(work), 20, "everything has ended")
        assert all(states == ["success"] for states in work.finals().values())
        assert len(work.finals()) == (1 if kind == "task" else 3)
        work.stop()
