"""Which child gets a job of the prefork pool, and what is taken back from it; on real job sockets, without processes."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from billiard.pool import RUN

from windrow.worker.pools.jobs import LONG
from windrow.worker.pools.pipes import JobSocket
from windrow.worker.pools.prefork import Pool, RunTimes


def child() -> Any:
    return SimpleNamespace(jobs=deque(), expected=0.0, since=0.0, inq=JobSocket(), pid=None)


@pytest.fixture
def pool() -> Any:
    """A pool with two children that never receive anything by themselves."""
    made: Any = Pool.__new__(Pool)
    made._state, made._cache, made._processes = RUN, {}, 2
    made.soft_timeout = made.timeout = made.lost_worker_timeout = None
    made.outbound_buffer = deque()
    made.runs, made.stuck = RunTimes(), []
    made.on_stuck = lambda: made.stuck.extend(made.recall())
    made._hub, made._looks_for_stale = None, False
    made.stopped = lambda process: nullcontext() if process.pid is None else Pool.stopped(made, process)
    made._fileno_to_inq = {1: child(), 2: child()}
    made.runs.ran("short", 0.001)
    made.runs.ran("middle", 0.015)
    yield made
    for process in made._fileno_to_inq.values():
        process.inq.close()


def give(pool: Any, *names: str) -> list[Any]:
    return [pool.apply_async(print, (name,)) for name in names]


def held(pool: Any) -> list[list[int]]:
    return [[job._job for job in process.jobs] for process in pool._fileno_to_inq.values()]


def numbers(jobs: list[Any]) -> list[int]:
    return [job._job for job in jobs]


def end(pool: Any, fd: int) -> None:
    """A child receives the next job and ends it."""
    process = pool._fileno_to_inq[fd]
    number, _ = process.inq.receive(0x40)
    assert number == process.jobs[0]._job
    pool._on_ready(number, None, (True, (0, None, 0.001)), fd)


def test_short_jobs_are_sent_ahead_evenly(pool: Any) -> None:
    """An idle child comes first, then the one that is soon done."""
    one, two, three, four = numbers(give(pool, "short", "short", "short", "short"))
    assert held(pool) == [[one, three], [two, four]]


def test_nothing_is_sent_behind_an_unknown_or_long_job(pool: Any) -> None:
    """A job whose run time is not known, or that would take too long with the others, goes to an idle child or waits."""
    first = numbers(give(pool, "new", "middle"))
    rest = numbers(give(pool, "middle", "new", "short"))
    assert held(pool) == [[first[0]], [first[1]]]
    assert numbers(list(pool.outbound_buffer)) == rest


def test_nothing_is_sent_behind_a_job_that_runs_for_longer_than_it_should(pool: Any) -> None:
    """A short job that has not ended in time may be a long one."""
    give(pool, "short", "short")
    for process in pool._fileno_to_inq.values():
        process.since -= 1
    (late,) = numbers(give(pool, "short"))
    assert numbers(list(pool.outbound_buffer)) == [late]


def test_an_idle_child_gets_what_waits_behind_others(pool: Any) -> None:
    """At the moment in which a child has nothing left, it gets what another has not received."""
    jobs = numbers(give(pool, "short", "short", "short", "short", "short"))
    pool._fileno_to_inq[1].inq.receive(0x40)  # the first child runs its first
    end(pool, 2)
    end(pool, 2)
    assert held(pool)[0][0] == jobs[0]
    assert sorted(held(pool)[0] + held(pool)[1]) == sorted([jobs[0], jobs[2], jobs[4]])
    assert held(pool)[1]


def test_what_waits_too_long_comes_back_in_order(pool: Any) -> None:
    """All children run what turns out long: the jobs behind are handed over in their order, those that run stay."""
    jobs = numbers(give(pool, *["short"] * 6))
    for process in pool._fileno_to_inq.values():
        process.inq.receive(0x40)
        process.since -= 1
    pool._stale()
    assert numbers(pool.stuck) == jobs[2:]
    assert held(pool) == [[jobs[0]], [jobs[1]]]
    assert set(pool._cache) == set(jobs[:2])
    assert all(process.expected > LONG / 2 for process in pool._fileno_to_inq.values())


def test_what_a_child_has_received_is_never_taken_back(pool: Any) -> None:
    """A child that has gone on to its next job keeps it, although its parent has not heard of it."""
    jobs = numbers(give(pool, "short", "short", "short", "short"))
    first = pool._fileno_to_inq[1]
    first.inq.receive(0x40)
    first.inq.receive(0x40)
    assert jobs[2] not in numbers(pool.recall())
    assert held(pool)[0] == [jobs[0], jobs[2]]


@pytest.mark.parametrize("ended", [False, True])
def test_a_blow_meets_only_the_job_it_is_meant_for(pool: Any, ended: bool) -> None:
    """A child stands still while it is asked whether it still runs the job; afterwards it goes on."""
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    state = Path(f"/proc/{sleeper.pid}/stat")
    try:
        first, *_ = give(pool, "short", "short", "short")
        pool._fileno_to_inq[1].pid = sleeper.pid
        pool._result_handler = SimpleNamespace(read=lambda process: ended and process.jobs.popleft())
        with pool.standing_still(first) as runs:
            assert runs is not ended
            assert state.read_text().split()[2] == "T"
        assert state.read_text().split()[2] != "T"
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_child_that_the_kernel_has_not_ended_yet_is_looked_at_again_soon() -> None:
    """Its files are closed a moment before it has ended; Celery alone would look again in five seconds."""
    looks: list[float] = []

    class Hub:
        def call_later(self, delay: float, call: Any) -> None:
            looks.append(delay)

    made = Pool.__new__(Pool)
    child = object()
    made._pool = [child]
    made._untrack_child_process = lambda *_: None
    made.maintain_pool = lambda: None
    made._event_process_exit(Hub(), child)
    assert looks
    assert max(looks) < 1
    looks.clear()
    made._pool = []  # it was found to have ended at once
    made._event_process_exit(Hub(), child)
    assert looks == []
