"""The ways between a prefork worker and its children, and the one timer of all limits."""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.asynchronous import Hub

from windrow.worker.pools.jobs import LONG, Job, RunTimes
from windrow.worker.pools.limits import Limits
from windrow.worker.pools.pipes import MOST_INLINE, Incoming, JobSocket, Outgoing

NOW = 0x40  # MSG_DONTWAIT


@pytest.fixture
def jobs():
    made = JobSocket()
    yield made
    made.close()


def test_each_job_is_received_whole_and_once(jobs: JobSocket) -> None:
    """Whoever receives gets the oldest job, whatever its size; nobody gets it again."""
    texts = [b"", b"a", b"b" * MOST_INLINE, b"c" * (MOST_INLINE + 1), b"d" * 5_000_000]
    for number, text in enumerate(texts):
        assert jobs.send(number, text)
    assert [jobs.receive(NOW) for _ in texts] == list(enumerate(texts))
    assert jobs.receive(NOW) is None


def test_a_full_socket_refuses_a_job_and_keeps_the_others(jobs: JobSocket) -> None:
    """There is no room: the job stays with the pool, what was sent is unharmed."""
    sent = 0
    while jobs.send(sent, b"x" * MOST_INLINE):
        sent += 1
    assert sent >= 4
    assert [jobs.receive(NOW) for _ in range(sent)] == [(number, b"x" * MOST_INLINE) for number in range(sent)]


def test_a_file_that_came_with_a_job_is_closed(jobs: JobSocket) -> None:
    """Large jobs leave no open files behind, received or taken back."""
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        jobs.send(number, b"x" * (MOST_INLINE + 1))
        jobs.receive(NOW)
    assert len(os.listdir("/proc/self/fd")) == before


def test_messages_arrive_whole_however_they_are_cut() -> None:
    """The parent handles what is complete; the rest waits for its other half."""
    read, write = os.pipe2(os.O_NONBLOCK)
    incoming = Incoming(read)
    wanted = [("ready", number, "x" * number * 1000) for number in range(20)]
    out = Outgoing(write)
    for message in wanted:
        out.hold(message)
    cut = out._held
    got = []
    for start in range(0, len(cut), 777):
        os.write(write, cut[start : start + 777])
        incoming.read()
        while (message := incoming.next()) is not None:
            got.append(message)
    assert got == wanted
    os.close(write)
    with pytest.raises(EOFError):
        incoming.read()
    os.close(read)


def test_a_task_is_expected_to_take_what_it_took() -> None:
    """Nothing is known of a new task, so it goes alone; a run that is much longer counts at once."""
    times = RunTimes()
    assert times.expected("a") == LONG
    times.ran("a", 0.001)
    assert times.expected("a") == 0.001
    times.ran("a", 5)
    assert times.expected("a") > 2
    assert times.expected("b") == LONG


class Watching(Limits):
    """What of a pool the limits need."""

    def __init__(self, hub: Any) -> None:
        self._hub, self.reached = hub, []
        self._pool = [SimpleNamespace(jobs=deque(), expected=0.0, pid=None)]
        self._timeout_handler = SimpleNamespace(
            on_soft_timeout=lambda job: self.reached.append(("soft", job._job)),
            on_hard_timeout=lambda job: self.reached.append(("hard", job._job)),
        )

    def start(self, number: int, soft: float | None, hard: float | None) -> Job:
        job = Job(number, pickle.dumps(None), "a", {}, {"lost_worker_timeout": 1, "soft_timeout": soft, "timeout": hard})
        job._write_to = self._pool[0]
        self._pool[0].jobs = deque([job])
        job._ack(None, time.monotonic(), 1, None)
        self.limit_set(job)
        return job


def test_limits_of_ended_tasks_leave_no_timers() -> None:
    """A thousand tasks with a limit of an hour need no thousand timers for an hour."""
    hub = Hub()
    pool = Watching(hub)
    for number in range(1000):
        pool.start(number, 3600, 4200)._set(None, (True, None))
    assert len(hub.timer._queue) <= 2


def test_each_limit_is_reached_in_its_time() -> None:
    """Soft, then hard, counted from the task's own start; a later task with a nearer limit is in time too."""
    hub = Hub()
    pool = Watching(hub)
    pool.start(1, 3600, 4200)
    begun = time.monotonic()
    pool.start(2, 0.05, 0.1)
    while len(pool.reached) < 2 and time.monotonic() - begun < 2:
        hub.fire_timers()
        time.sleep(0.001)
    assert pool.reached == [("soft", 2), ("hard", 2)]
    assert 0.1 <= time.monotonic() - begun < 0.2
