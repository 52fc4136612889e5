"""The asyncio and threads pools: what Celery promises of a task holds inside one process too."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from celery import chain, chord, group
from celery.exceptions import TimeLimitExceeded

from tests.apps import evidence
from tests.integration.test_broker_kill import Leader, Load
from tests.waiting import wait_until
from tests.workers import Work, producer, until_settled, working
from windrow.broker import admin
from windrow.broker.recovery import Recovery

POOLS = ("asyncio", "threads")
both = pytest.mark.parametrize("work", POOLS, indirect=True)
asyncio_only = pytest.mark.parametrize("work", ["asyncio"], indirect=True)


@pytest.fixture
def work(redis_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Work]:
    with working(redis_url, tmp_path, more=f"  pool: {request.param}\n  maxRecoveries: 1") as made:
        producer(redis_url, evidence.app)
        yield made


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def call(name: str, *args: Any) -> Any:
    return task(name).apply_async(args, queue="work")


def ends(work: Work, name: str) -> list[tuple[str | None, str | None]]:
    """Outcome and state of each end that was told of a task's calls."""
    found = [event for event in work.events() if event["k"] == "ended" and event["task"].endswith(name)]
    return [(event["outcome"], event["state"]) for event in found]


@both
def test_results_retries_and_canvas_are_celerys(work: Work) -> None:
    """`def` and `async def` tasks return, fail, retry, chain and join as in Celery."""
    work.start(concurrency=4)
    add, await_add, total = task("add").s, task("await_add").s, task("total").s
    assert call("await_add", 1, 2).get(timeout=20) == 3
    assert call("add", 1, 2).get(timeout=10) == 3
    assert call("await_again", 2).get(timeout=10) == 2
    assert call("again", 2).get(timeout=10) == 2
    on = {"queue": "work"}
    assert chain(add(1, 2).set(**on), await_add(3).set(**on), add(4).set(**on)).apply_async().get(timeout=10) == 10
    header = [add(n, n).set(**on) for n in range(3)] + [await_add(n, n).set(**on) for n in range(3)]
    assert chord(group(header))(total().set(**on)).get(timeout=10) == 12
    with pytest.raises(ValueError, match="wrong"):
        call("fail", "wrong").get(timeout=10)
    assert ends(work, "await_again") == [("retried", None), ("retried", None), ("success", "success")]


@both
def test_the_soft_limit_is_raised_in_the_body(work: Work) -> None:
    """A soft limit reaches `except Exception` and `finally`: of a coroutine at its await, of a thread at its next bytecode."""
    work.start(concurrency=2)
    began = time.monotonic()
    results = [call("await_too_long"), call("spin")]
    for result in results:
        with pytest.raises(Exception, match="SoftTimeLimitExceeded"):
            result.get(timeout=20)
    assert time.monotonic() - began < 5
    assert sorted(line[2] for line in work.lines()) == ["caught", "caught", "finally"]
    assert {line[4] for line in work.lines() if line[2] == "caught"} == {"SoftTimeLimitExceeded"}
    wait_until(lambda: len(work.finals()) == 2, 5, "both are on record")
    assert set(ends(work, "await_too_long") + ends(work, "spin")) == {("timed_out", "timed_out")}


@both
def test_past_the_hard_limit_the_process_is_replaced(work: Work) -> None:
    """What doesn't end at its hard limit is ended with its process; its neighbours repeat, uncounted, under the same worker."""
    process = work.start(concurrency=2)
    worker, (child,) = work.id_of(process), work.children(process)
    neighbour = call("sleep_in_c", 2.5)
    late = call("block_the_loop") if "asyncio" in work.more else call("far_too_slow")
    began = time.monotonic()
    with pytest.raises(TimeLimitExceeded):
        late.get(timeout=20)
    neighbour.get(timeout=20)
    assert time.monotonic() - began < 10
    assert work.id_of(process) == worker
    assert work.children(process) != [child]
    wait_until(lambda: len(work.finals()) == 2, 5, "both are on record")
    assert ends(work, "sleep_in_c") == [("handed_back", "ready"), ("success", "success")]
    assert {states[0] for states in work.finals().values()} == {"success", "timed_out"}
    assert all(len(states) == 1 for states in work.finals().values())
    assert work.client.hgetall("windrow:recoveries") == {}


@asyncio_only
def test_a_coroutine_at_its_hard_limit_is_cancelled(work: Work) -> None:
    """A coroutine that can be cancelled is, and the process with its other tasks lives on."""
    process = work.start(concurrency=2)
    children = work.children(process)
    result = task("await_a_while").apply_async((30,), queue="work", time_limit=1)
    wait_until(lambda: work.finals(), 10, "it has ended")
    assert list(work.finals().values()) == [["timed_out"]]
    assert call("add", 1, 1).get(timeout=10) == 2
    time.sleep(1.0)  # the time in which the guard would replace the process
    assert work.children(process) == children
    assert [line[2] for line in work.lines() if line[3] == result.id] == ["start"]


@both
def test_a_task_that_ends_its_process_is_counted_and_ends_lost(work: Work) -> None:
    """A task that kills the process runs 1 + maxRecoveries times, then it is lost; the worker serves on."""
    process = work.start(concurrency=2)
    call("die")
    wait_until(lambda: work.finals(), 20, "it is given up")
    assert list(work.finals().values()) == [["lost"]]
    assert sum(line[2] == "start" for line in work.lines()) == 2
    assert call("add", 1, 2).get(timeout=10) == 3
    assert process.poll() is None


@both
def test_what_was_acknowledged_early_is_lost_with_its_process(work: Work) -> None:
    """acks_late=False: it never runs again, also when its process ended before its start was told."""
    work.start(concurrency=2)
    call("work_early", 30)
    wait_until(lambda: work.lines(), 10, "it runs")
    call("die")
    wait_until(lambda: len(work.finals()) == 2, 20, "both have ended")
    assert ends(work, "work_early") == [("killed", "lost")]
    assert sum(line[2] == "start" for line in work.lines()) == 3


@both
def test_a_signal_drains_and_a_second_one_gives_back(work: Work) -> None:
    """SIGTERM: running tasks finish, the rest goes back. A second one: what runs is ended first, then it goes back."""
    process = work.start(concurrency=2)
    for _ in range(4):
        call("work", 1.0)
    wait_until(lambda: len(work.lines()) == 2, 10, "two tasks run")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert [line[2] for line in work.lines()] == ["start", "start", "end", "end"]
    assert work.client.llen("work") == 2
    process = work.start(concurrency=2)
    wait_until(lambda: len(work.lines()) == 6, 10, "the others run")
    (child,) = work.children(process)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: process.poll() is not None, 5, "it ends at once")
    assert not Path(f"/proc/{child}").exists()
    lines = len(work.lines())
    if lines == 6:  # else they had ended just before
        assert work.client.llen("work") == 2
        assert work.client.hgetall("windrow:recoveries") == {}
    assert work.client.keys("windrow:inflight:*") == []


@both
def test_nothing_outlives_a_killed_guard(work: Work) -> None:
    """kill -9 of a worker's main process ends its tasks' process, and what it held is recovered."""
    process = work.start(concurrency=2)
    worker, (child,) = work.id_of(process), work.children(process)
    call("sleep_in_c", 60)
    wait_until(lambda: work.client.keys("windrow:started:*"), 10, "the start is noted")
    process.kill()
    process.wait()
    wait_until(
        lambda: not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes(), 5, "ended"
    )
    admin.report_exit(work.client, [worker or ""])
    Recovery(work.client, {"work": 3}).tick(time.monotonic())
    assert work.client.llen("work") == 1


@asyncio_only
def test_a_blocked_loop_does_not_cost_the_lease(work: Work) -> None:
    """The guard's beats go on while a task holds the loop: nobody takes the worker for dead."""
    process = work.start(concurrency=2)
    call("tick", 0.1).get(timeout=10)
    task("block_the_loop").apply_async(queue="work", time_limit=30)
    wait_until(lambda: any(line[2] == "start" for line in work.lines()), 10, "the loop is blocked")
    worker = work.id_of(process) or ""

    def beat() -> bytes | None:
        return work.client.hget("windrow:beats", worker)

    seen = {beat()}
    wait_until(lambda: seen.add(beat()) or len(seen) >= 3, 10, "two more beats")
    process.kill()


@asyncio_only
def test_many_coroutines_run_at_once_in_one_process(work: Work) -> None:
    """50 tasks that wait half a second take little more than half a second, in one process."""
    work.start(concurrency=50)
    call("add", 1, 1).get(timeout=10)
    for _ in range(50):
        call("await_a_while", 0.5)
    wait_until(lambda: sum(line[2] == "end" for line in work.lines()) == 50, 20, "all have ended")
    times = [float(line[0]) for line in work.lines()]
    assert max(times) - min(times) < 4
    assert len({line[1] for line in work.lines()}) == 1


@asyncio_only
def test_context_is_a_tasks_own(work: Work) -> None:
    """Context variables, structlog's context and Celery's current task belong to each coroutine and what it starts."""
    work.start(concurrency=10)
    results = [call("await_colour", f"colour-{n}") for n in range(10)]
    for n, result in enumerate(results):
        assert result.get(timeout=20) == [f"colour-{n}", f"colour-{n}", True, result.id]


@asyncio_only
def test_update_state_is_told_before_the_result(work: Work) -> None:
    """`update_state` in a coroutine reaches the result backend and the record, and never overwrites the result."""
    work.start(concurrency=2)
    result = call("await_progress")
    assert result.get(timeout=20) == "done"
    assert result.state == "SUCCESS"
    assert [event["meta"] for event in work.events() if event["k"] == "progress"] == ['{"step":0}']


@asyncio_only
def test_a_retry_that_waits_for_redis_does_not_stop_other_coroutines(work: Work) -> None:
    """While Redis is frozen a coroutine's retry and progress wait, others run on, and the retry then happens once."""
    process = work.start(concurrency=5)
    call("await_add", 1, 1).get(timeout=10)
    ticking = call("tick", 3.0)
    wait_until(lambda: any(line[2] == "tick" for line in work.lines()), 10, "it ticks")
    retried = call("await_again", 1, 0.0, 0.5)
    progress = call("await_progress", 0.5)
    storing = call("tick", 0.6)
    redis_pid = int(work.client.info("server")["process_id"])
    wait_until(lambda: sum(line[2] == "start" for line in work.lines()) == 2, 10, "both run")
    os.kill(redis_pid, signal.SIGSTOP)
    try:
        time.sleep(1.5)  # how long Redis is away
    finally:
        os.kill(redis_pid, signal.SIGCONT)
    assert retried.get(timeout=20) == 1
    assert progress.get(timeout=20) == "done"
    ticking.get(timeout=20)
    storing.get(timeout=20)
    ticks = [float(line[0]) for line in work.lines() if line[2:4] == ["tick", ticking.id]]
    assert max(after - before for before, after in pairwise(ticks)) < 0.5
    assert process.poll() is None


@both
def test_a_running_task_is_ended_by_revoke_with_terminate(work: Work) -> None:
    """`revoke(terminate=True)` ends one task, not the process that has others."""
    process = work.start(concurrency=2)
    children = work.children(process)
    other = call("work", 2.0)
    name = "await_a_while" if "asyncio" in work.more else "spin"
    result = call(name, 60) if name == "await_a_while" else task(name).apply_async(queue="work", soft_time_limit=19)
    wait_until(
        lambda: len(work.client.keys("windrow:started:*")) and work.client.hlen(work.client.keys("windrow:started:*")[0]) == 2,
        10,
        "both run",
    )
    result.revoke(terminate=True)
    wait_until(lambda: ["cancelled"] in work.finals().values(), 10, "it is cancelled")
    assert not any(line[2:4] == ["end", other.id] for line in work.lines())
    wait_until(lambda: len(work.finals()) == 2, 10, "the other ends")
    assert sorted(states[0] for states in work.finals().values()) == ["cancelled", "success"]
    assert work.children(process) == children


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
def test_kills_under_load_lose_nothing(redis_url: str, tmp_path: Path, pool: str) -> None:
    """kill -9 of guards and of tasks' processes at random moments: every task ends once on record, none runs twice at once."""
    seed = random.randrange(10_000)
    print("seed", seed)
    dice = random.Random(seed)
    with working(redis_url, tmp_path, more=f"  pool: {pool}\n  maxRecoveries: 100") as work:
        app = producer(redis_url, evidence.app)
        leader = Leader(work)
        workers = [work.start(concurrency=4) for _ in range(2)]
        load = Load(app, "work", rate=60)
        for _ in range(10):
            time.sleep(dice.uniform(0.2, 0.8))  # the moment of a kill is the dice's
            at = dice.randrange(2)
            if dice.random() < 0.6:
                for child in work.children(workers[at]):
                    with suppress(ProcessLookupError):  # it may have been killed a moment ago
                        os.kill(child, signal.SIGKILL)
            else:
                worker = work.id_of(workers[at])
                workers[at].kill()
                workers[at].wait()
                admin.report_exit(work.client, [worker or ""])
                workers[at] = work.start(concurrency=4, wait=False)
        ids = load.stop()
        executions = {event["id"] for event in work.events() if event["k"] == "accepted"}
        assert len(executions) == len(ids)
        until_settled(work, executions, 60)
        leader.stop()
        assert {states[0] for states in work.finals().values()} == {"success"}
        assert all(len(states) == 1 for states in work.finals().values())
        spans: dict[str, list[tuple[float, str]]] = {}
        for at_, pid, what, task_id, *_ in work.lines():
            spans.setdefault(task_id, []).append((float(at_), f"{what} {pid}"))
        for lines in spans.values():  # a start that was cut off has no end; the next start is another process's
            ended = [what for _, what in lines if what.startswith("end")]
            assert len(ended) == len(set(ended))


@pytest.mark.parametrize("pool", POOLS)
def test_a_process_is_replaced_after_its_number_of_tasks(redis_url: str, tmp_path: Path, pool: str) -> None:
    """recycle.tasks: the process drains and another takes its place; nothing is lost or repeated."""
    with working(redis_url, tmp_path, more=f"  pool: {pool}\n  recycle: {{tasks: 20}}") as work:
        producer(redis_url, evidence.app)
        process = work.start(concurrency=4)
        ids = [call("work", 0.0).id for _ in range(70)]
        wait_until(lambda: len(work.finals()) == 70, 30, "all have ended")
        assert sorted(line[3] for line in work.lines() if line[2] == "start") == sorted(ids)
        assert len({line[1] for line in work.lines()}) >= 3
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
        assert work.client.keys("windrow:inflight:*") == []
