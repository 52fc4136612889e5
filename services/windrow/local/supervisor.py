"""The supervisor's round: observe → plan → apply, once a second, for all queues with one pipelined read.

The policy decides how many workers each queue shall have; the plan says which to start and end; this obeys, and tells the view.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import redis

from windrow.broker import admin
from windrow.broker.client import Client
from windrow.broker.observe import QueueReading, known_queues, observe
from windrow.broker.standing import Board, Standing, standing
from windrow.local.children import Children, Ended
from windrow.local.plan import Crashes, Plan, plan, registered, share_starts, worker_states
from windrow.local.processes import is_gone
from windrow.queues import QueueWorker
from windrow.scaling import Decision, History, Observation, decide

logger = logging.getLogger(__name__)

MOST_STARTING = 2 * (os.cpu_count() or 1)
"""Processes that may be starting at a time, of all queues together."""
STRANGERS_SECONDS = 15.0
"""How often queues that nobody serves are looked for."""


@dataclass(frozen=True)
class QueueView:
    """One queue, as it was last seen and decided on."""

    name: str
    queue: str
    reading: QueueReading | None
    decision: Decision | None
    starting: int = 0
    serving: int = 0
    busy: int = 0
    """Workers with something in flight, of those that serve."""
    leaving: int = 0
    rate: float | None = None
    """Attempts ended a second of late."""
    trouble: str | None = None
    """A sentence when its workers crash."""


@dataclass(frozen=True)
class Snapshot:
    """What one round saw."""

    at: float
    readable: bool
    queues: tuple[QueueView, ...]
    strangers: tuple[QueueReading, ...] = ()
    """Queues with tasks that no QueueWorker serves."""


@dataclass
class _Queue:
    """What the supervisor remembers of one queue between rounds."""

    spec: QueueWorker
    history: History = field(default_factory=History)
    decision: Decision | None = None
    done: tuple[float, int] | None = None
    rate: float | None = None
    crashes: Crashes = field(default_factory=Crashes)
    trouble: str | None = None

    def measure(self, reading: QueueReading) -> None:
        """Follow the rate at which attempts end."""
        if self.done is not None and reading.at > self.done[0]:
            ended = reading.finished - self.done[1]
            if ended >= 0:  # it falls when a worker leaves with its count
                latest = ended / (reading.at - self.done[0])
                self.rate = latest if self.rate is None else self.rate + 0.3 * (latest - self.rate)
                if self.rate < 0.05:
                    self.rate = 0.0
        self.done = (reading.at, reading.finished)


class Supervisor:
    """Keeps every queue's workers at what the policy says."""

    def __init__(self, specs: Sequence[QueueWorker], client: Client, children: Children) -> None:
        self._client, self._children = client, children
        self._queues = {spec.name: _Queue(spec) for spec in specs}
        self._host = socket.gethostname()
        self._strangers: set[str] = set()
        self._looked_for_strangers: float | None = None
        self._exited: list[str] = []
        self._changed: list[tuple[str, str]] = []
        self._standings: dict[str, Standing] = {}
        self._board = Board()
        self._looked_for_dead = False

    def round(self, now: float, wall: float, *, act: bool = True) -> Snapshot:
        """Observe, plan, apply, or only observe; `now` is the supervisor's clock, `wall` seconds since 1970.

        A Redis that is away is no error: the snapshot says so.
        """
        self._note_ends(now)
        readings = self._read(now, wall)
        seen = {name: self._observation(queue, readings, wall) for name, queue in self._queues.items()}
        if act:
            self._apply({name: self._plan(queue, seen[name], now) for name, queue in self._queues.items()}, now, wall)
        strangers = tuple(readings[queue] for queue in sorted(self._strangers) if readings and readings[queue].ready)
        views = tuple(self._view(queue, seen[name], readings) for name, queue in self._queues.items())
        return Snapshot(wall, readings is not None, views, strangers)

    # --- observe ---------------------------------------------------------------------------------------------------------

    def _note_ends(self, now: float) -> None:
        for end in self._children.reap():
            queue = self._queues[end.name]
            if end.child.worker is not None:
                self._exited.append(end.child.worker)
            if end.told:
                continue
            queue.crashes = queue.crashes.one_more(now, now - end.child.started)
            queue.trouble = _trouble(end, queue.crashes)
            logger.warning("%s: %s", end.name, queue.trouble)

    def _read(self, now: float, wall: float) -> dict[str, QueueReading] | None:
        served = [queue.spec.spec.queue for queue in self._queues.values()]
        try:
            if self._looked_for_strangers is None or now - self._looked_for_strangers >= STRANGERS_SECONDS:
                self._strangers = known_queues(self._client) - set(served)
                self._looked_for_strangers = now
            readings = observe(self._client, [*served, *sorted(self._strangers)], wall)
            self._report_exits(readings)
        except redis.RedisError as error:
            logger.warning("Redis can't be read: %s", error)
            return None
        return readings

    def _report_exits(self, readings: dict[str, QueueReading]) -> None:
        """Processes that were seen to end without having said goodbye: what they hold need not wait for the lease."""
        known = {worker.id: worker for reading in readings.values() for worker in reading.workers}
        gone = set(known).intersection(self._exited)
        if not self._looked_for_dead:
            # What a platform that was killed left on the books.
            gone |= {
                worker.id for worker in known.values() if worker.host == self._host and is_gone(worker.pid, worker.started)
            }
        admin.report_exit(self._client, gone)
        self._exited, self._looked_for_dead = [], True

    def _observation(self, queue: _Queue, readings: dict[str, QueueReading] | None, wall: float) -> Observation:
        name = queue.spec.name
        if readings is None:
            return Observation(at=wall, readable=False, workers=worker_states(name, self._children.of(name), None))
        reading = readings[queue.spec.spec.queue]
        queue.measure(reading)
        self._children.register(name, registered(self._children.of(name), reading, self._host))
        return Observation(
            at=reading.at,
            ready=reading.ready,
            delayed=reading.delayed,
            due_soon=reading.due_soon,
            in_flight=reading.in_flight,
            oldest_age=reading.oldest_age,
            oldest_is_lower_bound=reading.oldest_is_lower_bound,
            workers=worker_states(name, self._children.of(name), reading),
            mean_run=reading.mean_run,
            finished=reading.finished,
            paused=reading.paused,
            pinned=reading.pinned,
        )

    # --- plan ------------------------------------------------------------------------------------------------------------

    def _plan(self, queue: _Queue, seen: Observation, now: float) -> Plan:
        decision, queue.history = decide(queue.spec, seen, queue.history)
        if queue.decision is None or decision.replicas != queue.decision.replicas:
            self._changed.append((queue.spec.spec.queue, decision.reason))
            logger.info("%s: %d workers (%s): %s", queue.spec.name, decision.replicas, decision.reason, decision.sentence)
        queue.decision = decision
        missing = max(0, decision.replicas - sum(worker.state == "ready" for worker in seen.workers))
        crashing = missing if queue.trouble and queue.crashes.count > 1 else 0
        self._standings[queue.spec.spec.queue] = standing(queue.spec, decision, "supervisor", crashing)
        made = plan(seen, decision.replicas, self._children.of(queue.spec.name), now)
        if queue.crashes.wait(now) > 0:
            return replace(made, start=0)
        return made

    # --- apply -----------------------------------------------------------------------------------------------------------

    def _apply(self, plans: dict[str, Plan], now: float, wall: float) -> None:
        try:
            admin.withdraw_drain(self._client, [worker for made in plans.values() for worker in made.withdraw])
            admin.ask_drain(self._client, [worker for made in plans.values() for worker in made.ask])
            admin.count_decisions(self._client, self._changed)
            self._changed = []
            self._board.tell(self._client, self._standings, now)
        except redis.RedisError as error:
            logger.warning("Redis is away: %s; workers are asked to drain in the next round", error)
        for name, made in plans.items():
            for pid in made.end:
                self._children.end(name, pid)
            for pid in made.kill:
                self._children.kill(name, pid)
        starting = sum(child.worker is None for _, child in self._children.all())
        granted = share_starts({name: made.start for name, made in plans.items()}, starting, MOST_STARTING)
        for name, count in granted.items():
            for _ in range(count):
                self._children.start(name, now, wall)

    # --- tell ------------------------------------------------------------------------------------------------------------

    def _view(self, queue: _Queue, seen: Observation, readings: dict[str, QueueReading] | None) -> QueueView:
        states = [worker.state for worker in seen.workers]
        serving = [worker for worker in seen.workers if worker.state == "ready"]
        if queue.trouble and serving:
            queue.trouble = None
        return QueueView(
            name=queue.spec.name,
            queue=queue.spec.spec.queue,
            reading=readings[queue.spec.spec.queue] if readings else None,
            decision=queue.decision,
            starting=states.count("starting"),
            serving=len(serving),
            busy=sum(worker.occupied for worker in serving),
            leaving=states.count("asked") + states.count("drained"),
            rate=queue.rate,
            trouble=queue.trouble,
        )


def _trouble(end: Ended, crashes: Crashes) -> str:
    how = f"was ended by signal {-end.code}" if end.code < 0 else f"ended with code {end.code}"
    text = f"worker {end.child.number} {how}"
    if crashes.count > 1:
        text += f", {crashes.count} times in a row; next start in {crashes.pause:.0f} s"
    return f"{text}; see worker-{end.name}-{end.child.number}.log"
