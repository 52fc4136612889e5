"""How prefork children end: what the kernel knows of each, and what becomes of what it held."""

from __future__ import annotations

import os
from typing import Any

from billiard.popen_fork import Popen
from celery.concurrency import asynpool

from windrow.worker.pools.jobs import Job
from windrow.worker.usage import Used, ended_peak

END_SECONDS = (0.005, 0.05, 0.2, 0.6)
"""When a child whose files are closed is looked at again."""


class Reaped(Popen):
    """Billiard's child process, whose end is taken together with what the kernel knows of its memory."""

    returncode: int | None
    peak: int | None = None
    """Bytes, once it has ended: of the process itself, or the largest of its own children that have ended, if that is more."""

    def poll(self, flag: int = os.WNOHANG) -> int | None:
        """Its exit code, negative for a signal; None while it runs, or when it is nobody's child (any more)."""
        if self.returncode is None:
            try:
                pid, status, usage = os.wait4(self.pid, flag)
            except ChildProcessError:
                return None
            if pid == self.pid:
                self.returncode = os.waitstatus_to_exitcode(status)
                self.peak = ended_peak(usage)
        return self.returncode


class Ends(asynpool.AsynPool):
    """The part of a pool that sees its children end; each has `jobs`, the first of which ran."""

    _result_handler: Any

    def _feed(self) -> None:
        """Give what waits to children that are there."""
        raise NotImplementedError

    def maintain_pool(self) -> None:
        """Replace children that ended; what they had not started goes to others."""
        super().maintain_pool()
        self._feed()

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        """A child's files are closed; it may take the kernel a moment more to end it, and Celery would look again in 5 s."""
        super()._event_process_exit(hub, proc)
        if proc in self._pool:
            for delay in END_SECONDS:
                hub.call_later(delay, self.maintain_pool)

    def on_job_process_lost(self, job: Job, pid: int, exitcode: int) -> None:
        """Its child has ended, and its last words were read before this: the job is lost now, not after a wait for them."""
        self.mark_as_worker_lost(job, exitcode)

    def process_flush_queues(self, process: Any) -> None:
        """A child has ended: read its last words. A socket with jobs in it is not used again (`on_partial_read`)."""
        self._result_handler.read(process)
        if process.jobs and process.jobs[0]._accepted and process.jobs[0].used.peak is None:
            process.jobs[0].used = Used(peak=process._popen.peak)

    @staticmethod
    def _stop_task_handler(task_handler: Any) -> None:
        for process in task_handler.pool:
            try:
                process.inq.put(None)
            except OSError:
                continue  # it has ended

    @classmethod
    def _help_stuff_finish(cls, pool: Any) -> None:
        """Nothing waits for room in a job socket."""

    def flush(self) -> None:
        """Nothing: a lost connection changes nothing for what the pool holds."""
