"""The loop that keeps every QueueWorker's number of pods: read → size (pure) → write what changed, once a second.

The queues of one Redis are read with one call; each Redis has a tick of its own, so one that hangs keeps no other waiting. Each
QueueWorker's writes are a task of their own for the same reason.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from windrow.broker.observe import QueueReading, nothing_in
from windrow.broker.standing import Board, Standing, standing
from windrow_operator.asking import Asked, Asks
from windrow_operator.brokers import Brokers, Place, Read
from windrow_operator.cluster import Cluster, LeaseLost
from windrow_operator.sizing import Memory, Sizing, size
from windrow_operator.state import Figures, Key
from windrow_operator.telling import Teller
from windrow_operator.watched import Entry, Watched

TICK_SECONDS = 1.0
MOST_NUMBERS, MOST_MARKS = 64, 32
"""Deployments, and pods, written at the same time: marks of many pods never stand before a number."""
_CRASHING = "CrashLoopBackOff"

_log = structlog.get_logger(__name__)


class Meter(Protocol):
    """What the scaler counts."""

    def ticked(self, seconds: float) -> None:
        """One Redis' queues were read, sized and written."""

    def decided(self, reason: str) -> None:
        """A decision changed a queue's number of workers."""

    def wrong_victims(self, count: int) -> None:
        """So many pods were given up though their workers served."""


@dataclass
class _Kept:
    """What the scaler keeps of one QueueWorker between ticks."""

    of: tuple[Any, ...]
    """Which object and queue it is about: for another one it begins anew."""
    memory: Memory = field(default_factory=Memory)
    figures: Figures | None = None
    idle_at: float | None = None
    """The last time at which nothing was there to be decided; None when the last tick decided."""
    decided: int | None = None
    standing: Standing | None = None
    writing: asyncio.Task[None] | None = None


class Scaler:
    """Scales all watched QueueWorkers."""

    def __init__(
        self, watched: Watched, cluster: Cluster, meter: Meter, *, redis_url: str | None, key_prefix: str = ""
    ) -> None:
        """`redis_url` is the platform's, where no spec says otherwise."""
        self._watched, self._cluster, self._meter = watched, cluster, meter
        self._brokers = Brokers(redis_url, key_prefix, cluster)
        self._kept: dict[Key, _Kept] = {}
        self._ticks: dict[Place, asyncio.Task[None]] = {}
        self._boards: dict[Place, Board] = {}
        self._numbers, self._marks = asyncio.Semaphore(MOST_NUMBERS), asyncio.Semaphore(MOST_MARKS)
        self._teller = Teller(watched, cluster, self.figures)

    def figures(self, key: Key) -> Figures | None:
        """What was last seen of a QueueWorker."""
        kept = self._kept.get(key)
        return None if kept is None else kept.figures

    async def run(self, stop: asyncio.Event) -> None:
        """Tick until `stop` is set."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while not stop.is_set():
                self._start_ticks()
                due = max(due + TICK_SECONDS, loop.time())
                try:
                    await asyncio.wait_for(stop.wait(), due - loop.time())
                except TimeoutError:
                    continue
        finally:
            for task in (*self._ticks.values(), *(kept.writing for kept in self._kept.values() if kept.writing)):
                task.cancel()
            self._brokers.close()

    def _start_ticks(self) -> None:
        groups: dict[Place, list[Entry]] = {}
        for entry in self._watched:
            if entry.spec is not None and entry.fault is None:
                groups.setdefault(Place.of(entry), []).append(entry)
        for key in self._kept.keys() - {entry.key for entries in groups.values() for entry in entries}:
            del self._kept[key]
        self._brokers.keep(groups)
        self._boards = {place: board for place, board in self._boards.items() if place in groups}
        self._ticks = {place: task for place, task in self._ticks.items() if not task.done()}
        for place, entries in groups.items():
            if place not in self._ticks:
                self._ticks[place] = asyncio.create_task(self._tick(place, entries))
        self._teller.look()

    async def _tick(self, place: Place, entries: Sequence[Entry]) -> None:
        began = time.monotonic()
        try:
            broker = self._brokers.at(place)
            read = await broker.read([entry.spec.spec.queue for entry in entries if entry.spec is not None])
            asks = Asks()
            for entry in entries:
                self._one(entry, read, asks)
            board = self._boards.setdefault(place, Board())
            asks.standings = self._standings(entries)
            if read is not None and read.fault is None and asks.due(board, began):
                await self._ask(place, asks, board, began)
        except Exception:  # a tick that fails is no reason to stop ticking  # noqa: BLE001
            _log.exception("a tick failed", place=str(place))
        self._meter.ticked(time.monotonic() - began)

    def _standings(self, entries: Sequence[Entry]) -> dict[str, Standing]:
        kept = ((entry.spec, self._kept.get(entry.key)) for entry in entries)
        return {spec.spec.queue: one.standing for spec, one in kept if spec and one is not None and one.standing is not None}

    async def _ask(self, place: Place, asks: Asks, board: Board, now: float) -> None:
        try:
            await self._brokers.at(place).do(lambda client: asks.tell(client, board, now))
        except Exception as error:  # the next tick sees what is missing and asks again  # noqa: BLE001
            _log.warning("Redis did not take what workers are asked", place=str(place), error=str(error))

    def _one(self, entry: Entry, read: Read | None, asks: Asks) -> None:
        try:
            self._follow(entry, read, asks)
        except Exception:  # one queue's failure never stops the others  # noqa: BLE001
            _log.exception("a queue could not be sized", queueworker="/".join(entry.key))

    def _follow(self, entry: Entry, read: Read | None, asks: Asks) -> None:
        spec = entry.spec
        if spec is None or self._watched.entries.get(entry.key) is not entry:
            return
        kept = self._kept_of(entry)
        if read is None or (kept.writing is not None and not kept.writing.done()):
            return
        queue = spec.spec.queue
        found = None if read.queues is None else read.queues.get(queue)
        if read.queues is not None and found is None and self._quiet(entry, kept, read):
            kept.idle_at = read.at
            return
        now = time.time()
        if kept.idle_at is not None:
            if kept.memory.history.at is None or kept.idle_at > kept.memory.history.at:
                kept.memory = size(
                    spec, entry.deployment, (), nothing_in(queue, kept.idle_at), kept.memory, kept.idle_at
                ).memory
            kept.idle_at = None
        reading = None if read.queues is None else found or nothing_in(queue, read.at)
        sizing = size(spec, entry.deployment, entry.pods.values(), reading, kept.memory, now)
        kept.memory = sizing.memory
        self._note(entry, kept, sizing, reading, read, asks)
        if reading is not None and read.fault is None:
            asks.of(entry.key, spec, reading, Asked(sizing.ask, sizing.withdraw))
        entry.wanted = sizing.replicas
        deployment = entry.deployment
        another = deployment is not None and deployment.replicas != sizing.replicas
        if another or sizing.annotations or sizing.wrong_victims:
            kept.writing = asyncio.create_task(self._write(entry, sizing))

    def _kept_of(self, entry: Entry) -> _Kept:
        spec = entry.spec
        of = (entry.raw["metadata"].get("uid"), Place.of(entry), spec.spec.queue if spec is not None else None)
        kept = self._kept.get(entry.key)
        if kept is None or kept.of != of:
            kept = self._kept[entry.key] = _Kept(of)
        return kept

    def _quiet(self, entry: Entry, kept: _Kept, read: Read) -> bool:
        """Whether the last decision was that nothing is there, nothing is there now either, and nobody wants anything."""
        spec, deployment = entry.spec, entry.deployment
        return (
            spec is not None
            and read.fault is None
            and kept.decided == 0
            and entry.wanted == 0
            and not entry.pods
            and deployment is not None
            and deployment.replicas == 0
            and not spec.spec.paused
            and not spec.spec.replicas
            and spec.spec.scaling.min_replicas == 0
            and spec.spec.rate_limit is None
            and kept.figures is not None
            and (kept.figures.ready, kept.figures.delayed, kept.figures.in_flight, kept.figures.workers) == (0, 0, 0, 0)
            and not (kept.figures.paused or kept.figures.pinned or kept.figures.fault)
        )

    def _note(self, entry: Entry, kept: _Kept, sizing: Sizing, reading: QueueReading | None, read: Read, asks: Asks) -> None:
        decision, name = sizing.decision, "/".join(entry.key)
        # Whoever has just begun to look has changed nothing where the number is already there.
        before = kept.decided if kept.decided is not None else entry.deployment.replicas if entry.deployment else None
        if before != decision.replicas:
            _log.info(
                "decided", queueworker=name, replicas=decision.replicas, reason=str(decision.reason), why=decision.sentence
            )
            self._meter.decided(str(decision.reason))
            if entry.spec is not None:
                asks.count(entry.spec.spec.queue, str(decision.reason))
        kept.decided = decision.replicas
        if entry.spec is not None:
            crashing = sum(pod.trouble is not None and pod.trouble.reason == _CRASHING for pod in entry.pods.values())
            kept.standing = standing(entry.spec, decision, name, crashing)
        if sizing.wrong_victims:
            _log.warning("pods were given up whose workers served", queueworker=name, pods=sizing.wrong_victims)
            self._meter.wrong_victims(len(sizing.wrong_victims))
        figures = figures_of(sizing, reading, read, kept.figures)
        if figures != kept.figures:
            kept.figures = figures

    async def _write(self, entry: Entry, sizing: Sizing) -> None:
        """Marks and the number, each on its own: neither waits for the other."""
        try:
            marks = [self._mark(entry, name, made) for name, made in sizing.annotations.items()]
            await asyncio.gather(self._set_replicas(entry, sizing.replicas), *marks)
            if sizing.wrong_victims:
                sentence = f"pods were given up though their workers served: {', '.join(sizing.wrong_victims)}"
                await self._cluster.tell(entry.raw, "Warning", "WrongVictims", sentence)
        except LeaseLost:
            return  # the process is about to end
        except Exception as error:  # the next tick sees what is missing  # noqa: BLE001
            _log.warning("a queue's pods could not be changed", queueworker="/".join(entry.key), error=str(error))

    async def _set_replicas(self, entry: Entry, replicas: int) -> None:
        if entry.deployment is None or entry.deployment.replicas == replicas:
            return
        async with self._numbers, entry.writing:
            if self._watched.entries.get(entry.key) is not entry:
                return
            answer = await self._cluster.set_replicas(entry.key, replicas)
            entry.take_deployment(answer)
        _log.info("replicas set", queueworker="/".join(entry.key), replicas=replicas)

    async def _mark(self, entry: Entry, name: str, annotations: dict[str, str | None]) -> None:
        async with self._marks:
            await self._cluster.annotate_pod(entry.key.namespace, name, annotations)


def figures_of(sizing: Sizing, reading: QueueReading | None, read: Read, before: Figures | None) -> Figures:
    """What the status says of a queue; without a reading the counts of before."""
    held = None if sizing.held is None else sizing.held.sentence
    seen = before if before is not None else Figures()
    if reading is not None:
        oldest = None if reading.oldest_age is None else round(reading.at - reading.oldest_age)
        seen = Figures(
            read_at=seen.read_at if seen.read_at is not None else reading.at,
            ready=reading.ready,
            delayed=reading.delayed,
            in_flight=reading.in_flight,
            oldest_since=oldest,
            workers=len(reading.workers),
            capped=tuple(sorted({name for worker in reading.workers for name in worker.capped})),
            paused=reading.paused,
            pinned=reading.pinned is not None,
        )
    return replace(seen, fault=read.fault, desired=sizing.decision.replicas, decision=sizing.decision, held=held)
