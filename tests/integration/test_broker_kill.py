"""Kills under load: what was accepted is finished, whoever dies."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, until_settled, working
from windrow.broker import admin
from windrow.broker.recovery import Recovery


class Leader:
    """The leading server's part: gives back what dead workers held."""

    def __init__(self, work: Work, max_recoveries: int = 100) -> None:
        self._recovery = Recovery(work.client, {work.queue: max_recoveries})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.2):
            self._recovery.tick(time.monotonic())

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


class Load:
    """Publishes tasks without pause until it is stopped."""

    def __init__(self, app, queue: str, rate: float = 100) -> None:
        self.ids: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(app, queue, rate), daemon=True)
        self._thread.start()

    def _run(self, app, queue: str, rate: float) -> None:
        task = app.tasks["tests.apps.evidence.work"]
        while not self._stop.wait(1 / rate):
            self.ids.append(task.apply_async((random.choice((0, 0, 0.01, 0.05)),), queue=queue).id)

    def stop(self) -> list[str]:
        self._stop.set()
        self._thread.join()
        return self.ids


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_kill_9_of_workers_and_children_loses_nothing(redis_url: str, tmp_path: Path) -> None:
    """30 workers and 15 pool children are killed under load: every accepted task ends, with exactly one final."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    with working(redis_url, tmp_path) as work:
        app = producer(redis_url, evidence.app)
        leader = Leader(work)
        alive = [work.start(), work.start()]
        load = Load(app, work.queue)
        for kill in range(30):
            time.sleep(dice.uniform(0.05, 0.5))  # a random moment is what is tested
            if kill % 2:
                children = work.children(alive[1])
                if children:
                    os.kill(dice.choice(children), signal.SIGKILL)
            victim = alive.pop(0)
            worker = work.id_of(victim)
            victim.kill()
            victim.wait()
            if worker and kill not in (10, 20):  # those two are found by their silence alone
                admin.report_exit(work.client, [worker])
            alive.append(work.start(wait=False))
            wait_until(lambda: work.id_of(alive[0]), 30, "the next worker is ready")
        ids = load.stop()
        executions = {event["id"] for event in work.events() if event["k"] == "accepted"}
        assert len(executions) == len(ids) >= 500
        until_settled(work, executions, 60)
        leader.stop()
        work.stop()
        finals = work.finals()
        assert {execution: states for execution, states in finals.items() if states != ["success"]} == {}
        ended = Counter(line[3] for line in work.lines() if line[2] == "end")
        missing = [task_id for task_id in ids if not ended[task_id]]
        assert missing == []
        assert work.client.keys("windrow:inflight:*") == []
        print(f"accepted {len(ids)}, run to the end more than once {sum(n > 1 for n in ended.values())}")


@pytest.mark.parametrize("pool", ["prefork", "asyncio", "threads"])
def test_a_killed_child_s_task_starts_again_within_a_second(redis_url: str, tmp_path: Path, pool: str) -> None:
    """kill -9 of the process that runs a task: the next attempt starts within a second; never as late as Celery's next look."""
    with working(redis_url, tmp_path, more=f"  pool: {pool}\n  maxRecoveries: 9") as work:
        app = producer(redis_url, evidence.app)
        work.start(concurrency=2)
        app.tasks["tests.apps.evidence.work"].apply_async((60,), queue=work.queue)
        times = []
        for kill in range(1, 5):
            wait_until(lambda kill=kill: len(work.lines()) == kill, 10, "it starts", pause=0.005)
            if kill == 2:  # the first kill comes as the start is told, the second after
                wait_until(lambda: work.client.keys("windrow:started:*"), 10, "the start is noted")
            os.kill(int(work.lines()[-1][1]), signal.SIGKILL)
            killed = time.monotonic()
            wait_until(lambda kill=kill: len(work.lines()) > kill, 4.0, "it starts again", pause=0.005)
            times.append(time.monotonic() - killed)
        assert sorted(times)[1] < 1.0, times  # a busy machine may delay some


def test_a_silent_worker_is_given_back_within_ten_seconds(redis_url: str, tmp_path: Path) -> None:
    """A worker killed with nobody watching its process: its messages are back within 10 s, and its task runs again."""
    with working(redis_url, tmp_path) as work:
        app = producer(redis_url, evidence.app)
        leader = Leader(work)
        first = work.start(concurrency=1)
        result = app.tasks["tests.apps.evidence.work"].apply_async((1.0,), queue=work.queue)
        wait_until(lambda: work.client.keys("windrow:started:*"), 10, "the start is noted")
        first.kill()
        killed = time.monotonic()
        work.start(concurrency=1)
        wait_until(lambda: sum(line[2] == "start" for line in work.lines()) == 2, 15, "the task starts again", pause=0.01)
        assert time.monotonic() - killed < 10.5
        until_settled(work, [event["id"] for event in work.events() if event.get("task_id") == result.id], 10)
        leader.stop()
        recovered = [event for event in work.events() if event["k"] == "recovered"]
        assert [(event["outcome"], event["state"], event["recoveries"]) for event in recovered] == [("killed", "ready", 1)]


def test_a_killing_task_ends_lost_after_its_recoveries(redis_url: str, tmp_path: Path) -> None:
    """A task that kills its process each time runs 1 + maxRecoveries times, ends `lost`, and its caller is told."""
    with working(redis_url, tmp_path, more="  maxRecoveries: 2") as work:
        app = producer(redis_url, evidence.app)
        work.start(concurrency=1)
        result = app.tasks["tests.apps.evidence.die"].apply_async(queue=work.queue)
        with pytest.raises(Exception, match="lost"):
            result.get(timeout=30)
        assert sum(line[2] == "start" for line in work.lines()) == 3
        wait_until(lambda: list(work.finals().values()) == [["lost"]], 5, "the final is on the stream")
        killed = [event for event in work.events() if event.get("outcome") == "killed"]
        assert [event["recoveries"] for event in killed] == [1, 2, 3]


def test_an_early_acknowledged_task_never_runs_again(redis_url: str, tmp_path: Path) -> None:
    """acks_late=False: a task whose worker died while it ran ends `lost` at once, and does not run again."""
    with working(redis_url, tmp_path) as work:
        app = producer(redis_url, evidence.app)
        leader = Leader(work)
        first = work.start(concurrency=1)
        app.tasks["tests.apps.evidence.work_early"].apply_async((30,), queue=work.queue)
        wait_until(lambda: work.client.keys("windrow:started:*"), 10, "the start is noted")
        worker = work.id_of(first)
        first.kill()
        first.wait()
        admin.report_exit(work.client, [worker or ""])
        wait_until(lambda: list(work.finals().values()) == [["lost"]], 10, "the final is on the stream")
        leader.stop()
        assert work.client.llen(work.queue) == 0
        assert sum(line[2] == "start" for line in work.lines()) == 1


def test_sigterm_finishes_what_runs_and_hands_back_the_rest(redis_url: str, tmp_path: Path) -> None:
    """SIGTERM: no new work, running tasks end once, what was not started is in its queue in its old order."""
    with working(redis_url, tmp_path) as work:
        app = producer(redis_url, evidence.app)
        worker = work.start(concurrency=2)
        ids = [app.tasks["tests.apps.evidence.work"].apply_async((1.0,), queue=work.queue).id for _ in range(10)]
        wait_until(lambda: len(work.lines()) >= 2, 10, "two tasks run")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0
        assert {line[3] for line in work.lines() if line[2] == "end"} == set(ids[:2])
        assert work.client.llen(work.queue) == 8
        work.start(concurrency=1)
        wait_until(lambda: sum(line[2] == "end" for line in work.lines()) == 10, 30, "the rest runs")
        work.stop()
        starts = [line[3] for line in work.lines() if line[2] == "start"]
        assert set(starts[:2]) == set(ids[:2])
        assert starts[2:] == ids[2:]
        assert all(states == ["success"] for states in work.finals().values())


@pytest.mark.parametrize("pool", ["prefork", "asyncio", "threads"])
def test_sigterm_to_the_process_group_is_the_workers_alone(redis_url: str, tmp_path: Path, pool: str) -> None:
    """SIGTERM to all of a worker's processes at once: what runs ends, once; no `REMAP_SIGTERM` is needed."""
    with working(redis_url, tmp_path, more=f"  pool: {pool}") as work:
        app = producer(redis_url, evidence.app)
        worker = work.start(concurrency=2)
        ids = [app.tasks["tests.apps.evidence.work"].apply_async((1.0,), queue=work.queue).id for _ in range(4)]
        wait_until(lambda: len(work.lines()) >= 2, 10, "two tasks run")
        os.killpg(worker.pid, signal.SIGTERM)
        assert worker.wait(15) == 0
        assert {line[3] for line in work.lines() if line[2] == "end"} == set(ids[:2])
        assert len(work.lines()) == 4
        assert work.client.llen(work.queue) == 2


def test_a_second_sigterm_stops_at_once_and_loses_nothing(redis_url: str, tmp_path: Path) -> None:
    """A second SIGTERM ends running tasks, which go back to their queue first in line, uncounted."""
    with working(redis_url, tmp_path) as work:
        app = producer(redis_url, evidence.app)
        worker = work.start(concurrency=2)
        ids = [app.tasks["tests.apps.evidence.work"].apply_async((60.0,), queue=work.queue).id for _ in range(3)]
        wait_until(lambda: len(work.lines()) >= 2, 10, "two tasks run")
        children = work.children(worker)
        worker.send_signal(signal.SIGTERM)
        wait_until(lambda: work.client.llen(work.queue) == 1, 5, "nothing more is taken")
        stopped = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        worker.wait(10)
        assert time.monotonic() - stopped < 3
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
        assert work.client.llen(work.queue) == 3
        assert work.client.keys("windrow:inflight:*") == []
        assert work.client.hgetall("windrow:recoveries") == {}
        back = [event for event in work.events() if event.get("outcome") == "handed_back"]
        assert len(back) == 2
        assert {line[3] for line in work.lines()} <= set(ids)
