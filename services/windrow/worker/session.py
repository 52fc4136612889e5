"""One worker's life: how it begins, what it says of itself, how it stops.

The session stands between Celery's worker (which runs tasks) and the taker (which speaks to Redis), and decides when the
process may end; what becomes of each attempt is told by `attempts`.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import string
import time
from collections.abc import Callable
from random import SystemRandom
from typing import Any

from windrow import __version__
from windrow.broker import admin
from windrow.broker.client import Client
from windrow.broker.fence import FENCED
from windrow.broker.lease import LeaseKeeper
from windrow.broker.taker import Taker
from windrow.metrics.catalogue import RecycleReason
from windrow.metrics.worker import WorkerMetrics
from windrow.queues.derive import Derived
from windrow.worker.attempts import Attempts
from windrow.worker.board import Figures, Overdue
from windrow.worker.ending import hand_back_all, kill_children
from windrow.worker.guard import Guarded, Keeping
from windrow.worker.pools.inprocess import InProcessPool
from windrow.worker.pools.prefork import TaskPool as PreforkPool
from windrow.worker.probes import TURN_SECONDS, Probes, Vitals
from windrow.worker.settle import leave
from windrow.worker.usage import resident_bytes

logger = logging.getLogger(__name__)

MEMORY_SECONDS = 5.0
"""How often a process with tasks inside looks at its own size."""

MOST_CAPPED, LONGEST_NAME = 20, 256
"""How many tasks a registration names, and how many characters of each."""


def worker_id(queue: str) -> str:
    """A new worker id: `<queue>/<host>/<pid>/<8 random letters>`."""
    letters = "".join(SystemRandom().choices(string.ascii_lowercase, k=8))
    return f"{queue}/{socket.gethostname()}/{os.getpid()}/{letters}"


class Session:
    """The one session of a worker process."""

    def __init__(
        self, *, name: str, derived: Derived, max_recoveries: int, client: Client, metrics: WorkerMetrics, address: str | None,
        worker: str, kept: Keeping | Guarded,
    ) -> None:  # fmt: skip
        """`address` is where the metrics are served (`host:port`), None when nowhere.

        `kept` is what this process keeps the worker's lease with, or the guard that does.
        """
        self.id = worker
        guarded = self.guarded = kept if isinstance(kept, Guarded) else None
        self.overdue: dict[int, Overdue] = dict(guarded.overdue) if guarded else {}
        self.queue, self.derived, self.client = derived.queue, derived, client
        self.attempts = Attempts(
            worker=worker,
            derived=derived,
            max_recoveries=max_recoveries,
            client=client,
            metrics=metrics,
            on_changed=self._tell_guard,
            on_ended=self._look_at_number,
        )
        self.vitals = guarded.vitals if guarded else Vitals()
        self.taker: Taker | None = None
        self.pool: Any = None
        self.stop: Callable[[], None] = lambda: None
        self._about: dict[str, object] = {
            "queue": derived.queue,
            "name": name,
            "host": socket.gethostname(),
            "pid": guarded.pid if guarded else os.getpid(),
            "slots": derived.concurrency,
            "metrics": address,
            "started": time.time(),
            "version": __version__,
            "maxRecoveries": max_recoveries,
        }
        self.lease: LeaseKeeper | None = None
        if isinstance(kept, Keeping):
            self.lease = LeaseKeeper(kept.client, self.id, self._beat, self._declared_dead, kept.fence)
        self._hub: Any = None
        self._begun = 0
        self._signals = 0
        self.recycling: RecycleReason | None = None
        """Why this process ends so that another takes its place, if it does."""
        for reason, times in (guarded.recycles if guarded else {}).items():
            metrics.recycled(reason, times)

    @property
    def info(self) -> str:
        """What others may know of this worker, as JSON."""
        return json.dumps(self._about)

    def capped(self, tasks: list[str]) -> None:
        """Tell, in the registration, of tasks whose own limits the queue's hard limit cuts: the first `MOST_CAPPED`."""
        if tasks:
            self._about["capped"] = [name[:LONGEST_NAME] for name in sorted(tasks)[:MOST_CAPPED]]

    def probes(self) -> Probes:
        """What this process says of itself, where it is the worker's main one."""
        lease = self.lease
        return Probes(self.vitals, lambda: self._signals > 0, lambda: lease.answered_since if lease else None)

    # --- beginning -------------------------------------------------------------------------------------------------------

    def begin(self, hub: Any, channel: Any) -> Taker:
        """Take over a consumer's channel: the first, or the next one after Celery had to connect anew."""
        if isinstance(self.pool, InProcessPool):
            hub = self.pool.attach(hub)
        self._hub = hub
        if self.taker is None:
            self.taker = Taker(
                make_connection=channel.connection_maker(),
                keys=channel.platform_keys,
                worker=self.id,
                queue=self.queue,
                info=self.info,
                slots=self.derived.concurrency,
                on_revoked=self._read_revoked,
                on_killed=self.attempts.count_killed,
                on_gone=self._declared_dead,
                on_idle=self._drained,
                on_hand_back=self._hand_back,
                on_double=self.attempts.refuse_double,
                on_restored=self.attempts.tell_starts_again,
                on_drain=self.vitals.drain,
                generation=self.guarded.generation if self.guarded else 0,
            )
            if isinstance(self.pool, PreforkPool):
                self.taker.inflight.deep = True
                self.pool.when_stuck(self._hand_back)
                self.pool.when_recycled(self.attempts.metrics.recycled)
            self._read_revoked()
            if self.lease is not None:
                self.lease.start()
        self.attempts.taker, self.attempts.pool, self.attempts.hub = self.taker, self.pool, hub
        # Here Redis answers; it may have been away when the process started.
        admin.know(self.client, self.queue)
        admin.set_rate(self.client, self.queue, self.derived.rate_per_s, self.derived.rate_burst)
        self.taker.attach(hub)
        self.attempts.tell_starts()
        channel.taker = self.taker
        channel.connection.cycle.patient = True
        channel.reject_raw = self.attempts.reject
        self._begun += 1
        self._turn(self._begun)
        if self.guarded is not None:
            hub.call_repeatedly(MEMORY_SECONDS, self._look_at_memory)
            self.guarded.board.ready()
        return self.taker

    def _turn(self, begun: int) -> None:
        """The loop turns; what an earlier consumer began on the same loop ends here."""
        if begun == self._begun:
            self.vitals.turn()
            self._hub.call_later(TURN_SECONDS, self._turn, begun)

    def _beat(self) -> dict[str, object]:
        taken = len(self.taker.inflight.messages) if self.taker else 0
        counts = self.attempts.counts
        return {"busy": counts.busy, "taken": taken, "done": counts.done, "run": counts.run}

    def _tell_guard(self) -> None:
        if self.guarded is not None:
            taken = len(self.taker.inflight.messages) if self.taker else 0
            counts = self.attempts.counts
            self.guarded.board.say(Figures(counts.busy, taken, counts.done, counts.run))

    def _read_revoked(self) -> None:
        from celery.worker.state import revoked

        revoked.update(admin.revoked(self.client))

    def _hand_back(self) -> None:
        """Give back what the pool was given ahead and has not started."""
        if not isinstance(self.pool, PreforkPool) or self.taker is None:
            return
        jobs = self.pool.recall()
        if jobs:
            self.taker.inflight.give_back_waiting()  # the newer ones first: each goes in front of the last
        for job in reversed(jobs):
            if job.owner is not None:
                job.owner.hand_back()

    # --- the end ---------------------------------------------------------------------------------------------------------

    def on_signal(self, number: int, frame: object) -> None:
        """First signal: nothing new, running tasks finish, then the process ends. Second: stop at once, hand all back."""
        self._signals += 1
        if self.taker is None:
            os._exit(0)
        if self._signals == 1:
            self.taker.stop_taking()
        elif self._signals == 2:
            self.stop_now()

    def recycle(self, reason: RecycleReason) -> None:
        """Have the guard replace this process, once what runs has ended."""
        if self.taker is not None and self.recycling is None:
            self.recycling = reason
            self.taker.stop_taking()

    def _look_at_number(self) -> None:
        most = self.derived.recycle_tasks
        if self.guarded is not None and most and self.attempts.counts.done >= most:
            self.recycle("tasks")

    def _look_at_memory(self) -> None:
        most = self.derived.recycle_memory
        if most and resident_bytes() > most:
            self.recycle("memory")

    def _drained(self) -> None:
        self.stop()

    def leave(self) -> None:
        """Say goodbye to Redis; what is in flight, if anything, is recovery's."""
        if self.lease is not None:
            self.lease.stop()
        left = leave(self.client, self.id)
        if left:
            logger.warning("left with %d messages in flight; they go back to their queue when the lease ends", left)

    def stop_now(self) -> None:
        """Kill the running tasks, hand back everything in flight, end the process."""
        logger.warning("stopping at once: running tasks are ended and go back to their queue")
        kill_children(self.pool)
        try:
            hand_back_all(self)
            self.leave()
        finally:
            os._exit(0)

    def _declared_dead(self) -> None:
        logger.error("the lease was lost; running tasks are ended, because others start them again")
        kill_children(self.pool)
        os._exit(FENCED)
