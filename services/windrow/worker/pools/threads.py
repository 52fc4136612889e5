"""The `threads` pool: each task in a thread of the worker's process.

A soft limit is raised in the thread as an asynchronous exception: at its next bytecode, or at the await of the coroutine that
it waits for; a thread inside a C call hears of it when the call returns. No thread can be killed: past the hard limit the
guard replaces the process.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from windrow.authoring.calls import interrupt_call_of
from windrow.worker.pools.inprocess import InProcessPool, Job, outcome
from windrow.worker.tails import keep_in

_raise_in_thread = ctypes.pythonapi.PyThreadState_SetAsyncExc
_raise_in_thread.argtypes = (ctypes.c_ulong, ctypes.py_object)
_clear_in_thread = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p)(
    ("PyThreadState_SetAsyncExc", ctypes.pythonapi)
)

Ended = tuple[Job, tuple[Any, Any, Any]]


class Runner:
    """One thread, which runs a job at a time and then waits for the next."""

    def __init__(self, ended: Callable[[Runner, Ended], None]) -> None:
        """`ended` is called in the thread when a job has ended."""
        self._ended = ended
        self._job: Job | None = None
        self._gate = threading.Lock()
        self._gate.acquire()
        self._interrupting = threading.Lock()
        self._open = False
        self._thread = threading.Thread(target=self._run, name="windrow-task", daemon=True)
        self._thread.start()

    def run(self, job: Job) -> None:
        """Start a job; the thread must be waiting."""
        job.stop = lambda kind: self._interrupt(job, kind)
        self._job = job
        self._gate.release()

    def leave(self) -> None:
        """End the thread, which must be waiting."""
        self._job = None
        self._gate.release()

    def _run(self) -> None:
        while True:
            self._gate.acquire()
            job = self._job
            if job is None:
                return
            began = time.thread_time()
            found = self._outcome(job)
            job.cpu = time.thread_time() - began
            self._ended(self, (job, found))
            del job, found

    def _outcome(self, job: Job) -> tuple[Any, Any, Any]:
        found: tuple[Any, Any, Any] | None = None
        keep_in(job.tail)
        try:
            self._open = True
            found = outcome(job.target, job.args)
            self._close()
        except BaseException as late:  # noqa: BLE001 - an interruption that came as the body ended
            self._close()
            found = found or outcome(_raise, (late,))
        keep_in(None)
        return found

    def _close(self) -> None:
        """From here on nothing is raised in this thread, and what was and has not arrived is taken back."""
        with self._interrupting:
            self._open = False
            _clear_in_thread(threading.get_ident(), None)

    def _interrupt(self, job: Job, kind: type[BaseException]) -> None:
        ident = self._thread.ident
        assert ident is not None  # noqa: S101 - it runs a job
        # A thread that waits for a coroutine hears nothing; the coroutine does.
        interrupt_call_of(ident, kind, lambda: self._raise(job, kind))

    def _raise(self, job: Job, kind: type[BaseException]) -> None:
        with self._interrupting:
            if self._open and self._job is job and self._thread.ident is not None:
                _raise_in_thread(self._thread.ident, kind)


def _raise(error: BaseException) -> None:
    raise error


class Threads:
    """Threads for jobs, started when they are needed; ends are told on the main thread."""

    def __init__(self, end_job: Callable[[Job, Any, Any, Any], None]) -> None:
        self._end_job = end_job
        self._idle: list[Runner] = []
        self._all = 0
        self._ended: deque[tuple[Runner, Ended]] = deque()
        self._ringing = False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def attach(self, hub: Any) -> None:
        """Let the event loop hear of ends."""
        hub.add_reader(self._bell, self._collect)

    def start(self, job: Job) -> None:
        """Run a job in a thread that waits, or a new one."""
        runner = self._idle.pop() if self._idle else self._new()
        runner.run(job)

    def stop(self) -> None:
        """End the waiting threads."""
        while self._idle:
            self._idle.pop().leave()

    @property
    def count(self) -> int:
        """How many threads there are."""
        return self._all

    def _new(self) -> Runner:
        self._all += 1
        return Runner(self._tell)

    def _tell(self, runner: Runner, ended: Ended) -> None:
        self._ended.append((runner, ended))
        if not self._ringing:
            self._ringing = True
            os.eventfd_write(self._bell, 1)

    def _collect(self) -> None:
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass
        self._ringing = False
        while self._ended:
            runner, (job, found) = self._ended.popleft()
            self._idle.append(runner)
            self._end_job(job, *found)


class TaskPool(InProcessPool):
    """Celery's pool interface on threads."""

    def on_start(self) -> None:
        """Threads are started by the first tasks."""
        self._threads = Threads(self.end_job)

    def attach(self, hub: Any) -> Any:
        """Run beside kombu's hub."""
        self._threads.attach(hub)
        return super().attach(hub)

    def start_job(self, job: Job) -> None:
        """Give the job to a thread."""
        self._threads.start(job)

    def on_stop(self) -> None:
        """End the threads."""
        self._threads.stop()

    def grow(self, n: int = 1) -> None:
        """`control.pool_grow`: the threads come with the tasks."""
        self.limit: int = self.limit + n

    def shrink(self, n: int = 1) -> None:
        """`control.pool_shrink`: threads that are not needed wait."""
        self.limit = max(self.limit - n, 1)
