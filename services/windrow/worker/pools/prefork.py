"""The `prefork` pool: Celery's, with its way to the children made short.

Celery's pool pickles, registers with epoll, writes twice, reads twice and keeps a timer for each job. Here a job is one system
call, results are read as they have come, and the limits of all that runs share one timer. Short jobs are also sent a little
ahead, so that a child needs not wait for its parent; what a child has not received when the job before it turns out long, or
when another child is idle, is taken back from its socket.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from socket import MSG_DONTWAIT
from time import monotonic
from typing import Any

from billiard.pool import ACK, READY, RUN, job_counter
from celery.concurrency import prefork
from celery.worker import state as worker_state

from windrow.metrics.catalogue import RecycleReason
from windrow.worker.pools.child import Child
from windrow.worker.pools.jobs import LONG, Job, RunTimes
from windrow.worker.pools.limits import Limits, TimeoutHandler
from windrow.worker.pools.pipes import LOG, RECYCLED, Incoming, JobSocket
from windrow.worker.pools.reaping import Ends, Reaped
from windrow.worker.pools.results import Results
from windrow.worker.tails import Tail
from windrow.worker.usage import Used

AHEAD_SECONDS = 0.02
"""A job is sent behind others only when they are expected to take less than this together."""
MOST_AHEAD = 16
"""Jobs in one child's hands, whatever their pace."""
STALE_SECONDS = 0.03
"""What waits behind a job that runs for longer is taken back."""


class Pool(Limits, Ends):
    """Celery's pool of processes; each child has `jobs`: those sent to it and not ended, the first of them runs."""

    Worker = Child
    ResultHandler = Results
    TimeoutHandler = TimeoutHandler
    _registered_with_event_loop = True  # nothing is to be done at each turn of the event loop

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self.runs = RunTimes()
        self.on_stuck: Callable[[], None] = lambda: None
        self.on_recycled: Callable[[RecycleReason], None] = lambda reason: None
        self._looks_for_stale = False
        self._tails: dict[int, Tail] = {}
        self._index = 0
        super().__init__(*arguments, **options)

    def _create_worker_process(self, i: int) -> Any:
        self._index = i
        return super()._create_worker_process(i)

    def WorkerProcess(self, worker: Any) -> Any:
        """A new child, with what is kept of it here; billiard's name."""
        # The place of the child before it, whose jobs have all ended: a new one would stay in the memory of its elders.
        worker.tail = self._tails.get(self._index) or self._tails.setdefault(self._index, Tail())
        process = super().WorkerProcess(worker)
        process.tail = worker.tail
        process.jobs, process.expected, process.since = deque(), 0.0, 0.0
        process.incoming = Incoming(process.outqR_fd)
        process._Popen = Reaped
        return process

    def create_process_queues(self) -> tuple[Any, Any, None]:
        """The ways to and from a child."""
        _, outgoing, _ = super().create_process_queues()
        return JobSocket(), outgoing, None

    def create_result_handler(self) -> Results:
        """The reader of results, with the pool's own handlers."""
        handler: Results = super().create_result_handler()
        own = {ACK: self._on_ack, LOG: self._on_log, READY: self._on_ready, RECYCLED: lambda reason: self.on_recycled(reason)}
        handler.state_handlers.update(own)
        return handler

    # --- jobs out --------------------------------------------------------------------------------------------------------

    def apply_async(self, func: Any, args: Any = (), kwds: Any = None, **options: Any) -> Job | None:
        """Send a call to a child, now or as soon as one may have it; billiard's method."""
        if self._state != RUN:
            return None
        options["lost_worker_timeout"] = self.lost_worker_timeout
        text = pickle.dumps((func, args, kwds or {}), pickle.HIGHEST_PROTOCOL)
        job = Job(next(job_counter), text, args[0] if args else None, self._cache, options)
        job.expected = self.runs.expected(job.name)
        self.outbound_buffer.append(job)
        self._feed()
        if self.outbound_buffer:
            self._look_for_stale()
        return job

    def _feed(self) -> None:
        waiting = self.outbound_buffer
        while waiting:
            process = self._place(waiting[0].expected)
            if process is None or not self._give(process, waiting[0]):
                return
            waiting.popleft()

    def _place(self, expected: float) -> Any:
        """The child for a job that should run for so long: an idle one, or one that is soon done; None when it must wait."""
        best = None
        for process in self._fileno_to_inq.values():
            if not process.jobs:
                return process
            if best is None or process.expected < best.expected:
                best = process
        if best is None or best.expected + expected >= AHEAD_SECONDS or len(best.jobs) >= MOST_AHEAD:
            return None
        return best if monotonic() - best.since < AHEAD_SECONDS else None

    def _give(self, process: Any, job: Job) -> bool:
        try:
            if not process.inq.send(job._job, job._payload):
                return False
        except OSError:
            return False  # it is ending; what it held comes back when its end is handled
        if process.jobs:
            self._look_for_stale()
        else:
            process.since = monotonic()
        job._write_to = job._scheduled_for = process
        process.jobs.append(job)
        process.expected += job.expected
        return True

    # --- what children say -----------------------------------------------------------------------------------------------

    def on_process_alive(self, pid: int) -> None:
        """A child is ready for jobs."""
        super().on_process_alive(pid)
        self._feed()

    def _on_ack(self, number: int, i: Any, time_accepted: float, pid: int, _: Any) -> None:
        self.restart_state.R = 0
        job = self._cache.get(number)
        if job is None:
            return
        job._ack(i, time_accepted, pid, None)
        self.limit_set(job)

    def _on_log(self, number: int, text: str | None) -> None:
        job = self._cache.get(number)
        if job is not None:
            job.text = text

    def _on_ready(self, number: int, used: Any, obj: tuple[bool, Any], fd: int) -> None:
        process = self._fileno_to_inq.get(fd)
        if process is not None and process.jobs and process.jobs[0]._job == number:
            job = process.jobs.popleft()
            process.since = monotonic()
            process.expected = process.expected - job.expected if process.jobs else 0.0
            self._learn(job, obj, process.since)
        job = self._cache.get(number)
        if job is not None:
            if used is not None:
                job.used = Used(*used)
            job._set(None, obj)
        if self.outbound_buffer:
            self._feed()
        elif process is not None and not process.jobs:
            self._share()

    def _learn(self, job: Job, obj: tuple[bool, Any], now: float) -> None:
        success, value = obj
        if success and isinstance(value, tuple) and len(value) == 3 and value[2] is not None:
            self.runs.ran(job.name, value[2])  # Celery's own measure
        elif job._time_accepted is not None:
            self.runs.ran(job.name, now - job._time_accepted)

    # --- taking back -----------------------------------------------------------------------------------------------------

    def _take_back(self, process: Any) -> None:
        """Take back what a child has not received: its socket's other end is here too, and the kernel gives each to one."""
        while len(process.jobs) > 1:
            received = process.inq.receive(MSG_DONTWAIT)
            if received is None:
                return
            job = next((job for job in process.jobs if job._job == received[0]), None)
            if job is not None:
                process.jobs.remove(job)
                process.expected -= job.expected
                self._put_back(job)

    def _share(self) -> None:
        """A child is idle and nothing waits: it gets what waits behind others."""
        fullest = max(self._fileno_to_inq.values(), key=lambda process: len(process.jobs), default=None)
        if fullest is not None and len(fullest.jobs) > 1:
            self._take_back(fullest)
            self._feed()

    def _look_for_stale(self) -> None:
        if not self._looks_for_stale and self._hub is not None:
            self._looks_for_stale = True
            self._hub.call_later(STALE_SECONDS, self._stale)

    def _stale(self) -> None:
        self._looks_for_stale = False
        now = monotonic()
        for process in list(self._fileno_to_inq.values()):
            if len(process.jobs) > 1 and now - process.since > STALE_SECONDS * 0.9:
                self._take_back(process)
                process.jobs[0].expected += LONG
                process.expected += LONG
        self._feed()
        if self.outbound_buffer and len(self._fileno_to_inq) >= self._processes:  # a child that is missing will be there soon
            self.on_stuck()
        if self.outbound_buffer or any(len(process.jobs) > 1 for process in self._fileno_to_inq.values()):
            self._look_for_stale()

    def recall(self) -> list[Job]:
        """Take back all that no child has received; they are the caller's, in their order."""
        for process in list(self._fileno_to_inq.values()):
            if len(process.jobs) > 1:
                with self.stopped(process):  # else it might run the last of them before the first
                    self._take_back(process)
        jobs = list(self.outbound_buffer)
        self.outbound_buffer.clear()
        for job in jobs:
            job.discard()
        return jobs

    # --- the event loop --------------------------------------------------------------------------------------------------

    def register_with_event_loop(self, hub: Any) -> None:
        """Run on this event loop from now on; again after a lost connection, when its timers are gone."""
        self._hub = hub
        super().register_with_event_loop(hub)
        self._looks_for_stale = False
        self._look_for_stale()

    def _create_timelimit_handlers(self, hub: Any) -> None:
        self._look = None
        self._look_again()

    def _create_write_handlers(self, hub: Any) -> None:
        def on_inqueue_close(fd: int, process: Any) -> None:
            if self._fileno_to_inq.get(fd) is process:
                del self._fileno_to_inq[fd]
                self._all_inqueues.discard(fd)

        self.on_inqueue_close = on_inqueue_close
        self.hub_remove = hub.remove

    def _put_back(self, job: Job) -> None:
        """Have another child run it, in its old order; or end it, if it was revoked meanwhile."""
        job._write_to = job._scheduled_for = None
        if job._terminated is not None or job.correlation_id in worker_state.revoked:
            job._set_terminated(job._terminated)
            return
        waiting = self.outbound_buffer
        place = sum(1 for other in waiting if other._job < job._job)
        waiting.insert(place, job)


class TaskPool(prefork.TaskPool):
    """Celery's prefork pool on `Pool`."""

    Pool = Pool
    uses_semaphore = False  # the taker counts what the pool holds

    def recall(self) -> list[Job]:
        """Take back all that no child has received; they are the caller's, in their order."""
        return self._pool.recall() if self._pool is not None else []

    def when_stuck(self, call: Callable[[], None]) -> None:
        """Call this when what was sent ahead waits behind jobs that turned out long."""
        self._pool.on_stuck = call

    def when_recycled(self, call: Callable[[RecycleReason], None]) -> None:
        """Call this with the reason, `tasks` or `memory`, for which a child ends so that another takes its place."""
        self._pool.on_recycled = call

    def standing_still(self, job: Job) -> AbstractContextManager[bool]:
        """Whether `job` runs now, and goes on running meanwhile."""
        held: AbstractContextManager[bool] = self._pool.standing_still(job)
        return held
