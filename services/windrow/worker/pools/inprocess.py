"""What the pools have in common whose tasks run in the worker's own process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded, WorkerLostError
from celery.concurrency.base import BasePool

from windrow.authoring.redaction import keeps_log
from windrow.broker.fence import pass_or_end
from windrow.worker.board import Board
from windrow.worker.pools.deadlines import Deadlines
from windrow.worker.probes import Vitals
from windrow.worker.tails import Tail
from windrow.worker.usage import Overlapping, Used

HARD_GRACE = 0.5
"""Seconds that a body has after its hard limit, when it is told to end, before the guard ends it with the process."""

EARLY = 0.01
"""How much before its time a timer may come."""


class Job:
    """One task call in a pool; Celery's request holds it weakly, to end it."""

    __slots__ = (
        "__weakref__", "accept_callback", "args", "callback", "cpu", "error_callback", "hard", "header", "measured", "place",
        "soft", "stop", "tail", "target", "text", "timeout_callback", "used",
    )  # fmt: skip

    def __init__(
        self, target: Any, args: Any, callback: Any, error_callback: Any, accept_callback: Any, timeout_callback: Any,
        soft: float | None, hard: float | None,
    ) -> None:  # fmt: skip
        self.target, self.args = target, args
        self.callback, self.error_callback = callback, error_callback
        self.accept_callback, self.timeout_callback = accept_callback, timeout_callback
        self.soft, self.hard = soft, hard
        self.header: dict[str, Any] | None = args[2].get("windrow")
        self.place: int | None = None
        self.measured: Callable[[], int | None] = lambda: None
        """The peak memory of its process since it began, in bytes."""
        self.cpu: float | None = None
        """CPU seconds of its thread, once it has ended; None for a coroutine, which has none of its own."""
        self.used = Used()
        self.tail: Tail | None = None
        """Where what it logs is kept while it runs."""
        self.text: str | None = None
        self.stop: Callable[[type[BaseException]], None] | None = None
        """Throws an exception into the running body; None while there is none to throw into."""

    @property
    def log(self) -> str | None:
        """The end of what it has logged; None when that is nothing."""
        if self.tail is None or self.header is None:
            return self.text
        return self.tail.read(self.header["tag"])

    def measure(self) -> None:
        """Note what it has used until now: it is about to be told as ended, whatever its body does."""
        self.used = Used(peak=self.measured())

    def terminate(self, signal: int | None = None) -> None:
        """End the body: what `revoke(terminate=True)` asks for. The process and its other tasks live on."""
        if self.stop is not None:
            self.stop(Stopped)


class Stopped(BaseException):
    """Thrown into a body that must end at once."""


class InProcessPool(BasePool):
    """A pool whose jobs run in this process; all methods but the jobs' bodies are of its main thread."""

    body_can_be_buffer = True
    board: Board | None = None
    """Where the guard reads the running jobs' deadlines; set by the worker before the pool starts."""
    vitals: Vitals | None = None
    """Where it reads when the loop last turned; set together with it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._jobs: set[Job] = set()
        self._peaks = Overlapping()
        self._deadlines: Deadlines[tuple[Job, bool]] = Deadlines()
        self._hub: Any = None

    def attach(self, hub: Any) -> Any:
        """Run beside the event loop `hub`, from now on or again; returns the loop that the worker's I/O belongs on."""
        self._hub = hub
        return hub

    def on_apply(
        self, target: Any, args: Any = None, kwargs: Any = None, callback: Any = None, error_callback: Any = None,
        accept_callback: Any = None, timeout_callback: Any = None, soft_timeout: float | None = None,
        timeout: float | None = None, **_: Any,
    ) -> Job:  # fmt: skip
        """Start a job; there is a slot for it, since the worker is given no more tasks than it has slots."""
        pass_or_end()
        job = Job(target, args, callback, error_callback, accept_callback, timeout_callback, soft_timeout, timeout)
        now = time.monotonic()
        self._jobs.add(job)
        if job.hard and job.header is not None and self.board is not None:
            place = job.place = self.board.begin(job.header, job.hard, now + job.hard + HARD_GRACE)
            if place is not None and keeps_log(self.app.tasks[args[0]], args[2]):
                job.tail = self.board.tail(place)
                job.tail.begin(job.header["tag"])
        for limit, soft in ((job.soft, True), (job.hard, False)):
            if limit and self._deadlines.add((job, soft), now + limit):
                self._hub.call_later(limit, self._look)
        if accept_callback is not None:
            accept_callback(os.getpid(), now)
        begun = self._peaks.begin()
        job.measured = lambda: self._peaks.until_now(begun)
        self.start_job(job)
        return job

    def start_job(self, job: Job) -> None:
        """Begin a job's body; `end_job` is called when it has ended."""
        raise NotImplementedError

    def end_job(self, job: Job, value: Any, error: BaseException | None, info: ExceptionInfo | None) -> None:
        """A job has ended, on the main thread."""
        if self.vitals is not None:
            self.vitals.turn()  # before its place is empty: it may have held the loop
        job.stop = None
        job.used = Used(job.measured(), job.cpu)
        self._peaks.end()
        self._jobs.discard(job)
        self._deadlines.remove((job, True))
        self._deadlines.remove((job, False))
        if job.tail is not None:
            job.text, job.tail = None if job.tail.is_empty else job.log, None
        if job.place is not None and self.board is not None:
            self.board.end(job.place)
            job.place = None
        if error is None:
            job.callback(value)
        else:
            job.error_callback(info)

    def on_stop(self) -> None:
        """Nothing runs any more: the worker drains before it stops its pool."""

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Nothing: the process has other tasks too; Celery's request ends its own job by `Job.terminate`."""

    def _look(self) -> None:
        now = time.monotonic()
        if self._deadlines.next is None or now < self._deadlines.next - EARLY:
            return  # a sooner deadline has had its look since, and has asked for the next one
        for job, soft in self._deadlines.due(now):
            job.measure()
            job.timeout_callback(soft, job.soft if soft else job.hard)
            if job.stop is not None:
                job.stop(SoftTimeLimitExceeded if soft else Stopped)
        if self._deadlines.next is not None:
            self._hub.call_later(max(self._deadlines.next - now, 0.0), self._look)

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "processes": [os.getpid()], "running": len(self._jobs)}


def outcome(target: Any, args: Any) -> tuple[Any, BaseException | None, ExceptionInfo | None]:
    """Run a job's target here: its value, or what it raised; what would end a process of its own is a lost worker."""
    try:
        return target(*args), None, None
    except Exception as error:  # noqa: BLE001 - told to the job's request
        return None, error, ExceptionInfo()
    except BaseException as error:  # noqa: BLE001 - SystemExit and its like end a prefork child; told as such
        return lost(error)


def lost(error: BaseException) -> tuple[Any, BaseException | None, ExceptionInfo | None]:
    """The outcome of a body that raised what is no Exception."""
    try:
        raise WorkerLostError(f"the task ended its worker: {error!r}") from error
    except WorkerLostError as lost_error:
        return None, lost_error, ExceptionInfo()
