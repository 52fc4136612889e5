"""What becomes of attempts, told: to Redis as operations and events, to the metrics, and to who counts them.

Celery's requests (`request`) say what happened; here it gets its place in the conversation with Redis.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from windrow.broker import events
from windrow.broker.client import Client
from windrow.broker.inflight import Taken
from windrow.broker.publication import MOST_MESSAGE, accepted
from windrow.broker.taker import Taker
from windrow.broker.trace import put_begun
from windrow.metrics.worker import WorkerMetrics
from windrow.queues.derive import Derived
from windrow.worker.report import rejected_event, started_event, started_note

if TYPE_CHECKING:
    from windrow.worker.request import Reporting

logger = logging.getLogger(__name__)

COALESCE_SECONDS = 0.02
"""A start is told after this long; an attempt that has ended by then is told once, as ended."""

REPLACE_SECONDS = (0.01, 0.1, 0.3, 0.6)
"""When the pool is asked to replace a child that was killed: the kernel takes a moment to end it."""


@dataclass
class Counts:
    """What a worker says in each beat; `run` is the mean run time of its attempts in seconds."""

    busy: int = 0
    done: int = 0
    run: float | None = None

    def ran(self, seconds: float) -> None:
        """Follow the run time of one more attempt."""
        self.run = seconds if self.run is None else self.run + (seconds - self.run) * 0.1


class Attempts:
    """Those of one worker process."""

    def __init__(
        self, *, worker: str, derived: Derived, max_recoveries: int, client: Client, metrics: WorkerMetrics,
        on_changed: Callable[[], None], on_ended: Callable[[], None],
    ) -> None:  # fmt: skip
        """`on_changed` is called whenever the counts are others, `on_ended` after each attempt."""
        self.worker, self.derived, self.max_recoveries = worker, derived, max_recoveries
        self.client, self.metrics = client, metrics
        self._on_changed, self._on_ended = on_changed, on_ended
        self.counts = Counts()
        self.running: dict[int, Reporting] = {}
        """The attempts that have started, by tag."""
        self.taker: Taker | None = None
        self.pool: Any = None
        self.hub: Any = None
        self._starting: dict[int, Reporting] = {}
        self._killed: dict[int, Reporting] = {}
        self._telling = False

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
        trace = put_begun(raw["headers"], header["id"])
        event = accepted(header["id"], raw["headers"], raw["properties"], taken.queue, header["t"], trace)
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
        self._on_changed()
        if request.wait is not None:
            self.metrics.started(request.wait)
        self.running[tag] = request
        self._starting[tag] = request
        if request.early:
            self.tell_starts()
        elif not self._telling:
            self._telling = True
            self.hub.call_later(COALESCE_SECONDS, self.tell_starts)

    def tell_starts(self) -> None:
        """Say which attempts have started since the last time."""
        self._telling = False
        for tag, request in self._starting.items():
            self.say("S", tag, events.encode(started_note(request)))
            self.say("E", events.encode(started_event(request)))
        self._starting = {}

    def tell_starts_again(self) -> None:
        """Redis has lost data: what recovery must know of the running attempts may be among it."""
        for tag, request in self.running.items():
            self.say("S", tag, events.encode(started_note(request)))

    def refuse_double(self, taken: Taken) -> None:
        """End a message that has the task id of another one in flight."""
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
        text = self.client.hget(self.client.keys_of.started(self.worker), str(tag))
        return dict(json.loads(text)) if isinstance(text, bytes | str) else None

    def child_killed(self) -> None:
        """A child was killed at its hard limit: have the pool replace it now. Celery's pool looks every 5 s."""
        for delay in REPLACE_SECONDS:
            self.hub.call_later(delay, self._replace_children)

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
        self._on_changed()
        self.metrics.ended(event["task"], outcome, run)
        self._on_ended()
        if outcome == "retried":
            self.metrics.retried(event["task"])
        elif outcome in ("failed", "timed_out", "killed"):
            self.metrics.failed(event["task"], event.get("error") or outcome)

    def count_killed(self, tag: int, count: int, lost: bool) -> None:
        """Redis has counted a recovery of a killed attempt's execution."""
        request = self._killed.pop(tag, None)
        if request is not None and lost:
            request.say_lost(count)

    def reject(self, taken: Taken, reason: str) -> None:
        """End a message that is no task of ours, on record."""
        logger.error("rejected a message of %s: %s", taken.queue, reason)
        self.say("F", taken.tag, events.encode(rejected_event(taken, reason, self.worker)), "", *taken.ending)
