"""The `asyncio` pool: every `async def` task is a coroutine on one loop, on the main thread; a `def` task gets a thread.

Celery's tracer runs around each coroutine in a greenlet (`windrow.authoring.greenlets`), so signals, retries, results and
canvas are Celery's own. The soft limit is thrown in at the coroutine's await. At the hard limit the coroutine is cancelled;
what does not end by that, or blocks the loop, is ended by the guard together with the process.
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from typing import Any

from windrow.authoring import loop as windrow_loop
from windrow.authoring.bodies import runs_coroutine
from windrow.authoring.context import own_stacks
from windrow.authoring.greenlets import Synchronous
from windrow.worker.pools.inprocess import InProcessPool, Job, lost, outcome
from windrow.worker.pools.loop import LoopHub, LoopPoller
from windrow.worker.pools.threads import Threads
from windrow.worker.tails import keep_in


class TaskPool(InProcessPool):
    """Celery's pool interface on an asyncio loop."""

    def on_start(self) -> None:
        """Make the loop; it runs while the worker's hub waits."""
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        windrow_loop.adopt_event_loop(self._loop)
        self._threads = Threads(self.end_job)
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._coroutine: dict[str, bool] = {}

    def attach(self, hub: Any) -> Any:
        """Run while kombu's hub waits; the worker's own I/O belongs on the loop that is returned."""
        if self._hub is not None:
            self._hub.close()
        own = LoopHub(self._loop)
        self._threads.attach(own)
        return super().attach(own)

    def register_with_event_loop(self, hub: Any) -> None:
        """Celery is about to poll its hub: from now on the loop runs meanwhile."""
        if not isinstance(hub.poller, LoopPoller):
            hub.poller = LoopPoller(hub.poller, self._loop)

    def wake(self) -> None:
        """Have Celery look at its state now; safe in signal handlers."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def start_job(self, job: Job) -> None:
        """Give a coroutine to the loop, anything else to a thread."""
        name = job.args[0]
        coroutine = self._coroutine.get(name)
        if coroutine is None:
            coroutine = self._coroutine[name] = runs_coroutine(self.app.tasks[name])
        if not coroutine:
            self._threads.start(job)
            return
        context = copy_context()
        own_stacks(context, job, self.app.tasks[name])
        if job.tail is not None:
            context.run(keep_in, job.tail)
        self._tasks[job] = self._loop.create_task(self._run(job), context=context)

    async def _run(self, job: Job) -> None:
        synchronous = Synchronous(lambda: outcome(job.target, job.args))
        job.stop = lambda kind: self._stop(job, synchronous, kind)
        try:
            found = await synchronous.drive()
        except BaseException as error:  # noqa: BLE001 - cancelled before or after its body ran
            found = lost(error)
        finally:
            self._tasks.pop(job, None)
        self.end_job(job, *found)

    def _stop(self, job: Job, synchronous: Synchronous, kind: type[BaseException]) -> None:
        if not synchronous.interrupt(kind()) and not issubclass(kind, Exception):
            task = self._tasks.get(job)
            if task is not None:
                task.cancel()

    def on_stop(self) -> None:
        """End the threads and the loop's own."""
        self._threads.stop()

    def grow(self, n: int = 1) -> None:
        """`control.pool_grow`: coroutines need no preparation."""
        self.limit: int = self.limit + n

    def shrink(self, n: int = 1) -> None:
        """`control.pool_shrink`: running coroutines go on."""
        self.limit = max(self.limit - n, 1)
