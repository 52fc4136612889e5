"""What runs in a prefork child: receives jobs, runs them, says what became of them."""

from __future__ import annotations

import os
import pickle
import sys
from socket import MSG_DONTWAIT
from time import monotonic
from typing import Any

from billiard.common import terminate_handler_fired
from billiard.einfo import ExceptionInfo
from billiard.pool import ACK, EX_FAILURE, EX_OK, EX_RECYCLE, READY, MaybeEncodingError
from celery.concurrency import asynpool

from windrow.broker.fence import pass_or_end
from windrow.worker.pools.pipes import LOG, RECYCLED, STOP, JobSocket, Outgoing
from windrow.worker.tails import Tail, write_to
from windrow.worker.usage import Single, resident_bytes

NONE = -1
"""The number of no job: what is logged between two of them is kept nowhere that is read."""


class Child(asynpool.Worker):
    """Billiard's pool process with a work loop of fewer system calls.

    A job's end rides in one write with the next job's start when the next job is already there; else it is written at once. It
    never waits for a job that runs.
    """

    inq: JobSocket
    tail: Tail
    """Where what its jobs log is kept; the pool has it too."""

    def _make_child_methods(self, *arguments: Any) -> None:
        """Billiard's receivers are not used."""

    def workloop(self, debug: Any = None, now: Any = monotonic, pid: int | None = None) -> int:
        """Run jobs until told to end or to be replaced; returns the exit code."""
        os.setpgid(0, 0)  # a signal to the worker's process group is the worker's, which lets its tasks end
        recycled, failed, well = int(EX_RECYCLE), int(EX_FAILURE), int(EX_OK)
        pid = pid or os.getpid()
        out = Outgoing(self.outq._writer.fileno())
        write_to(self.tail)
        completed = 0
        usage = Single()
        try:
            while self.maxtasks is None or completed < self.maxtasks:
                job = self._next(out)
                if job is None:
                    return well
                number, function, args, kwargs = job
                out.hold((ACK, (number, None, now(), pid, None)))
                out.flush()
                leaving = self._run(out, usage, number, function, args, kwargs)
                completed += 1
                if leaving is not None:
                    raise leaving
                if self.max_memory_per_child and resident_bytes() > self.max_memory_per_child * 1024:
                    out.hold((RECYCLED, ("memory",)))
                    return recycled
            out.hold((RECYCLED, ("tasks",)))
            return recycled if self.maxtasks else failed
        finally:
            out.flush()

    def _next(self, out: Outgoing) -> tuple[int, Any, Any, Any] | None:
        """The next job, None for the end; what is held is written before waiting for one."""
        try:
            received = self.inq.receive(MSG_DONTWAIT) if out.holds else None
            if received is None:
                out.flush()
                received = self.inq.receive()
        except (EOFError, OSError) as error:
            raise SystemExit(EX_FAILURE) from error
        number, text = received or (STOP, b"")
        if number == STOP:
            return None
        function, args, kwargs = pickle.loads(text)  # noqa: S301 - from the parent
        return number, function, args, kwargs

    def _run(self, out: Outgoing, usage: Single, number: int, function: Any, args: Any, kwargs: Any) -> BaseException | None:
        """Run one job and hold its result; returns what the job raised to end its process, if it did."""
        leaving = None
        tail = self.tail
        tail.begin(number)
        pass_or_end()
        usage.begin()
        try:
            result: tuple[bool, Any] = (True, self.prepare_result(function(*args, **kwargs)))
        except BaseException as error:
            if terminate_handler_fired():
                raise  # the process was told to end and the job did not finish: the parent counts it as lost with it
            result = (False, ExceptionInfo())
            if isinstance(error, SystemExit | KeyboardInterrupt):
                leaving = error
        used = usage.end()
        if not tail.is_empty:
            out.hold((LOG, (number, tail.read(number))))
            tail.begin(NONE)
        try:
            out.hold((READY, (number, used, result, self.inqW_fd)))
        except Exception as error:  # noqa: BLE001 - a result can fail to be pickled in any way
            wrapped = ExceptionInfo((MaybeEncodingError, MaybeEncodingError(error, result[1]), sys.exc_info()[2]))
            out.hold((READY, (number, used, (False, wrapped), self.inqW_fd)))
        return leaving
