"""One worker's life: what it runs, what it reports, how it stops.

The session stands between Celery's worker (which runs tasks) and the taker (which speaks to Redis): it gives every attempt its
id, turns what Celery says about it into events, and decides when the process may end.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import string
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from windrow import __version__
from windrow.broker import admin, events
from windrow.broker.client import Client
from windrow.broker.fence import FENCED
from windrow.broker.inflight import Taken
from windrow.broker.lease import LeaseKeeper
from windrow.broker.publication import MOST_MESSAGE, accepted
from windrow.broker.taker import Taker
from windrow.metrics.worker import WorkerMetrics
from windrow.queues.derive import Derived
from windrow.worker.board import Figures, Overdue
from windrow.worker.ending import hand_back_all, kill_children, resident_bytes
from windrow.worker.guard import Guarded, Keeping
from windrow.worker.pools.inprocess import InProcessPool
from windrow.worker.pools.prefork import TaskPool as PreforkPool
from windrow.worker.probes import TURN_SECONDS, Probes, Vitals
from windrow.worker.report import rejected_event
from windrow.worker.settle import leave

if TYPE_CHECKING:
    from windrow.worker.request import Reporting

logger = logging.getLogger(__name__)

COALESCE_SECONDS = 0.02
"""A start is told after this long; an attempt that has ended by then is told once, as ended."""

MEMORY_SECONDS = 5.0
"""How often a process with tasks inside looks at its own size."""

REPLACE_SECONDS = (0.01, 0.1, 0.3, 0.6)
"""When the pool is asked to replace a child that was killed: the kernel takes a moment to end it."""

MOST_CAPPED, LONGEST_NAME = 20, 256
"""How many tasks a registration names, and how many characters of each."""


def worker_id(queue: str) -> str:
    """A new worker id: `<queue>/<host>/<pid>/<8 random letters>`."""
    letters = "".join(SystemRandom().choices(string.ascii_lowercase, k=8))
    return f"{queue}/{socket.gethostname()}/{os.getpid()}/{letters}"


@dataclass
class Counts:
    """What a worker says in each beat; `run` is the mean run time of its attempts in seconds."""

    busy: int = 0
    done: int = 0
    run: float | None = None

    def ran(self, seconds: float) -> None:
        """Follow the run time of one more attempt."""
        self.run = seconds if self.run is None else self.run + (seconds - self.run) * 0.1


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
        self.queue, self.derived, self.max_recoveries = derived.queue, derived, max_recoveries
        self.client, self.metrics = client, metrics
        self.counts = Counts()
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
        }
        self.lease: LeaseKeeper | None = None
        if isinstance(kept, Keeping):
            self.lease = LeaseKeeper(kept.client, self.id, self._beat, self._declared_dead, kept.fence)
        self._starting: dict[int, Reporting] = {}
        self.running: dict[int, Reporting] = {}
        """The attempts that have started, by tag."""
        self._killed: dict[int, Reporting] = {}
        self._hub: Any = None
        self._begun = 0
        self._telling = False
        self._signals = 0
        self.recycling = False
        """Whether this process ends so that another takes its place."""

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
                on_killed=self._count_killed,
                on_gone=self._declared_dead,
                on_idle=self._drained,
                on_hand_back=self._hand_back,
                on_double=self._refuse_double,
                on_restored=self._tell_starts_again,
                on_drain=self.vitals.drain,
                generation=self.guarded.generation if self.guarded else 0,
            )
            if isinstance(self.pool, PreforkPool):
                self.taker.inflight.deep = True
                self.pool.when_stuck(self._hand_back)
            self._read_revoked()
            if self.lease is not None:
                self.lease.start()
        # Here Redis answers; it may have been away when the process started.
        admin.know(self.client, self.queue)
        admin.set_rate(self.client, self.queue, self.derived.rate_per_s, self.derived.rate_burst)
        self.taker.attach(hub)
        self._tell_starts()
        channel.taker = self.taker
        channel.connection.cycle.patient = True
        channel.reject_raw = self.reject
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
        return {"busy": self.counts.busy, "taken": taken, "done": self.counts.done, "run": self.counts.run}

    def _tell_guard(self) -> None:
        if self.guarded is not None:
            taken = len(self.taker.inflight.messages) if self.taker else 0
            self.guarded.board.say(Figures(self.counts.busy, taken, self.counts.done, self.counts.run))

    def _read_revoked(self) -> None:
        from celery.worker.state import revoked

        revoked.update(admin.revoked(self.client))

    # --- attempts --------------------------------------------------------------------------------------------------------

    def say(self, *operation: str | bytes | int) -> None:
        """Send an operation of the `sync` script with the next call."""
        if self.taker is not None:
            self.taker.say(*operation)

    def accept_stock(self, taken: Taken, raw: dict[str, Any], header: dict[str, Any], redact: bool) -> None:
        """Put a stock producer's message on record, and its new header into the in-flight set, in one step.

        With `redact` (the producer did not know the task's option) neither the arguments nor the message are.
        """
        if redact:
            raw["headers"].update(argsrepr="***", kwargsrepr="***", windrow_keep=False)
        event = accepted(header["id"], raw["headers"], raw["properties"], taken.queue, header["t"])
        keep = raw["headers"].get("windrow_keep", True) and len(taken.message) <= MOST_MESSAGE
        event["message"] = taken.message.decode("utf-8", "replace") if keep else None
        raw["headers"]["windrow"] = header
        delivery = taken.names[0] or str(uuid.uuid4())
        stamped = json.dumps({**raw, "properties": {**raw["properties"], "delivery_tag": delivery}}).encode()
        self.say("R", taken.tag, f"{taken.step}{taken.queue}\n".encode() + stamped)
        self.say("E", events.encode(event))

    def started(self, request: Reporting) -> None:
        """A child has taken up an attempt."""
        tag = request.taken.tag
        self.counts.busy += 1
        self.metrics.slots(self.counts.busy)
        self._tell_guard()
        if request.wait is not None:
            self.metrics.started(request.wait)
        self.running[tag] = request
        self._starting[tag] = request
        if request.early:
            self._tell_starts()
        elif not self._telling:
            self._telling = True
            self._hub.call_later(COALESCE_SECONDS, self._tell_starts)

    def _tell_starts(self) -> None:
        self._telling = False
        for tag, request in self._starting.items():
            self.say("S", tag, events.encode(request.started_note()))
            self.say("E", events.encode(request.started_event()))
        self._starting = {}

    def _tell_starts_again(self) -> None:
        """Redis has lost data: what recovery must know of the running attempts may be among it."""
        for tag, request in self.running.items():
            self.say("S", tag, events.encode(request.started_note()))

    def _refuse_double(self, taken: Taken) -> None:
        self.reject(taken, "its task id must not be that of a task that is running or about to run, and it is; it was not run")

    def ended(self, request: Reporting, event: events.Event) -> None:
        """An attempt, or an execution without one, has come to its end."""
        tag = request.taken.tag
        self._left(request, event)
        final = event["state"] not in (None, "ready", "delayed", "retrying")
        self.say("F", tag, events.encode(event), event["id"] if final else "", *request.taken.ending)

    def given_back(self, request: Reporting, event: events.Event | None) -> None:
        """An attempt's message goes back to its queue."""
        self._left(request, event or {"outcome": None, "task": request.name})
        self.say("G", request.taken.tag, events.encode(event) if event else "")

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

    def parked(self, request: Reporting, due: float, event: events.Event) -> None:
        """A message that may not start before `due` goes to the delayed set."""
        properties = request.message.properties
        name = f"{properties.get('correlation_id') or request.id}\n{request.attempt}"
        self.say("P", request.taken.tag, int(due * 1000), name, events.encode(event))

    def killed(self, request: Reporting, back: events.Event, lost: events.Event) -> None:
        """An attempt's process died: its message goes back and is counted, or is lost past the most recoveries."""
        self._killed[request.taken.tag] = request
        self._left(request, back)
        most = 0 if request.early else self.max_recoveries
        self.say(
            "K", request.taken.tag, request.execution, most, events.encode(back)[:-1], events.encode(lost)[:-1]
        )  # fmt: skip

    def note_of(self, tag: int) -> dict[str, Any] | None:
        """What Redis knows of an attempt that an earlier process of this worker started. Raises redis.RedisError."""
        text = self.client.hget(self.client.keys_of.started(self.id), str(tag))
        return dict(json.loads(text)) if isinstance(text, bytes | str) else None

    def child_killed(self) -> None:
        """A child was killed at its hard limit: have the pool replace it now. Celery's pool looks every 5 s."""
        for delay in REPLACE_SECONDS:
            self._hub.call_later(delay, self._replace_children)

    def _replace_children(self) -> None:
        pool = getattr(self.pool, "_pool", None)
        if pool is not None:
            pool.maintain_pool()

    def _left(self, request: Reporting, event: events.Event) -> None:
        tag = request.taken.tag
        self._starting.pop(tag, None)
        if self.running.pop(tag, None) is not None:
            self.counts.busy -= 1
            self.metrics.slots(self.counts.busy)
        outcome = event["outcome"]
        if outcome is None:
            return
        run = event.get("run")
        self.counts.done += 1
        if run is not None:
            self.counts.ran(run)
        self._tell_guard()
        self.metrics.ended(event["task"], outcome, run)
        if self.guarded is not None and self.derived.recycle_tasks and self.counts.done >= self.derived.recycle_tasks:
            self.recycle()
        if outcome == "retried":
            self.metrics.retried(event["task"])
        elif outcome in ("failed", "timed_out", "killed"):
            self.metrics.failed(event["task"], event.get("error") or outcome)

    def _count_killed(self, tag: int, count: int, lost: bool) -> None:
        request = self._killed.pop(tag, None)
        if request is not None and lost:
            request.say_lost(count)

    def reject(self, taken: Taken, reason: str) -> None:
        """End a message that is no task of ours, on record."""
        logger.error("rejected a message of %s: %s", taken.queue, reason)
        self.say("F", taken.tag, events.encode(rejected_event(taken, reason, self.id)), "", *taken.ending)

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

    def recycle(self) -> None:
        """Have the guard replace this process, once what runs has ended."""
        if self.taker is not None and not self.recycling:
            self.recycling = True
            self.taker.stop_taking()

    def _look_at_memory(self) -> None:
        most = self.derived.recycle_memory
        if most and resident_bytes() > most:
            self.recycle()

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
