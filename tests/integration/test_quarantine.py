"""A task that kills its process each time takes no other with it: from its second recovery it runs alone, then it is lost."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.apps import evidence
from tests.integration.test_broker_kill import Leader
from tests.waiting import wait_until
from tests.workers import producer, until_settled, working


@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_a_poison_task_ends_lost_and_loses_no_other(redis_url: str, tmp_path: Path, pool: str) -> None:
    """Two killing tasks among 300 good ones: they end `lost` after three recoveries each, every good one in `success`."""
    with working(redis_url, tmp_path, more=f"  pool: {pool}\n  maxRecoveries: 3") as work:
        app = producer(redis_url, evidence.app)
        leader = Leader(work, max_recoveries=3)
        good, die = app.tasks["tests.apps.evidence.work"], app.tasks["tests.apps.evidence.die"]
        poison = []
        for number in range(300):
            if number in (20, 150):
                poison.append(die.apply_async(queue=work.queue).id)
            good.apply_async((0.01,), queue=work.queue)
        work.start(concurrency=4)
        work.start(concurrency=4)
        by_task = {event["id"]: event["task_id"] for event in work.events() if event["k"] == "accepted"}
        until_settled(work, by_task, 60)
        leader.stop()
        # What tells Celery of the lost ones has executions of its own.
        finals = {by_task[execution]: states for execution, states in work.finals().items() if execution in by_task}
        assert {task: states for task, states in finals.items() if states != ["success"]} == {task: ["lost"] for task in poison}
        starts = Counter(line[3] for line in work.lines() if line[2] == "start")
        assert [starts[task] for task in poison] == [4, 4]
        wait_until(
            lambda: not work.client.exists("windrow:quarantine:work", "windrow:clearing:work"), 5, "nothing is left of it"
        )
        assert work.client.hgetall("windrow:recoveries") == {}


def test_what_is_in_quarantine_runs_beside_nothing(redis_url: str, tmp_path: Path) -> None:
    """A worker takes a message from quarantine only when it has nothing else, and nothing else until that has ended."""
    with working(redis_url, tmp_path) as work:
        app = producer(redis_url, evidence.app)
        task = app.tasks["tests.apps.evidence.work"]
        apart = task.apply_async((0.5,), queue=work.queue).id
        message = work.client.rpop(work.queue)
        others = [task.apply_async((0.3,), queue=work.queue).id for _ in range(6)]
        work.start(concurrency=3)
        wait_until(lambda: sum(line[2] == "start" for line in work.lines()) == 3, 10, "three run")
        work.client.rpush("windrow:quarantine:work", b"0work\n" + message)
        wait_until(lambda: sum(line[2] == "end" for line in work.lines()) == 7, 20, "all have run")
        times = {(line[2], line[3]): float(line[0]) for line in work.lines()}
        began, ended = times[("start", apart)], times[("end", apart)]
        beside = [one for one in others if times[("start", one)] < ended and times[("end", one)] > began]
        assert beside == []
        assert any(times[("start", one)] > ended for one in others)
