"""Soft and hard limits of what a prefork pool runs: one timer for all, and blows that meet only the job they are meant for.

Celery's pool keeps a timer for each job until its limit would have been reached, for an hour in most queues, ended or not.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Any

from billiard.pool import TimeoutHandler as _TimeoutHandler

from windrow.worker.pools.jobs import LONG, Job

LOOK_SECONDS = 5.0
"""The timer is never set further ahead: an earlier limit leaves few timers behind."""


class TimeoutHandler(_TimeoutHandler):
    """Celery's end of a child at its hard limit; the child may stand still (`Pool.standing_still`)."""

    def _trywaitkill(self, worker: Any) -> None:
        try:
            worker.terminate()
            os.kill(worker.pid, signal.SIGCONT)
            if worker._popen.wait(timeout=0.1) is None:
                os.kill(worker.pid, signal.SIGKILL)
        except OSError:
            pass


class Limits:
    """The part of a pool that watches limits; each process has `jobs`, the first of which runs."""

    _pool: list[Any]
    _timeout_handler: Any
    _result_handler: Any
    _hub: Any = None
    _look_at: float | None = None
    _look: Any = None

    def limit_set(self, job: Job) -> None:
        """A job has started: have its limit looked at in time."""
        if job.due is not None and (self._look_at is None or job.due < self._look_at):
            self._look_again()

    def _look_again(self) -> None:
        """Set the one timer of all limits for the first of them."""
        now = monotonic()
        nearest = min((job.due for process in self._pool for job in process.jobs if job.due is not None), default=None)
        if self._look is not None:
            self._look.cancel()
        self._look = self._look_at = None
        if nearest is not None and self._hub is not None:
            self._look_at = min(nearest, now + LOOK_SECONDS)
            self._look = self._hub.call_later(max(self._look_at - now, 0), self._look_at_limits)

    def _look_at_limits(self) -> None:
        self._look = None
        now = monotonic()
        for process in list(self._pool):
            job = process.jobs[0] if process.jobs else None
            if job is not None and job.due is not None and job.due <= now:
                with self.standing_still(job) as runs:
                    if runs:
                        self._limit_reached(job)
        self._look_again()

    def _limit_reached(self, job: Job) -> None:
        soft, hard = job._soft_timeout, job._timeout
        started = job._time_accepted or monotonic()
        if soft and job.due is not None and job.due < started + (hard or LONG):
            job.due = started + hard if hard else None
            self._timeout_handler.on_soft_timeout(job)
        else:
            job.due = None
            job._write_to.expected += LONG  # nothing more for a child that is about to end
            job.measure()
            self._timeout_handler.on_hard_timeout(job)

    @contextmanager
    def standing_still(self, job: Job) -> Iterator[bool]:
        """Whether `job` runs now, and goes on running meanwhile: its child is stopped when it might go on to the next job."""
        process = job._write_to
        if process is None or len(process.jobs) < 2:
            yield not job.ready()
            return
        with self.stopped(process):
            yield bool(process.jobs) and process.jobs[0] is job and not job.ready()

    @contextmanager
    def stopped(self, process: Any) -> Iterator[None]:
        """Keep a child from going on to its next job; what it has said until then is read."""
        try:
            os.kill(process.pid, signal.SIGSTOP)
            _wait_until_stopped(process.pid)
        except ProcessLookupError:
            pass  # it has ended: it goes on to nothing
        try:
            self._result_handler.read(process)
            yield
        finally:
            try:
                os.kill(process.pid, signal.SIGCONT)
            except ProcessLookupError:
                pass


def _wait_until_stopped(pid: int) -> None:
    for _ in range(100):
        if os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        sleep(0.0005)
