"""What the queues hold and who works on them: one pipelined read for all of them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from windrow.broker.client import Client
from windrow.broker.keys import BINDINGS, PRIORITY_STEPS, SEPARATOR

DUE_SOON_SECONDS = 10.0
_HEADER_TIME = re.compile(rb'"windrow": ?\{[^{}]*"t": ?([0-9.]+)')


@dataclass(frozen=True)
class WorkerInfo:
    """A worker as it describes itself; `drain` is None, `asked` or `drained`; `run` is its mean run time in seconds.

    `capped` names tasks whose own limits the queue's hard limit cuts, at most 20 of them.
    """

    id: str
    queue: str
    name: str
    host: str
    pid: int
    slots: int
    metrics: str | None
    started: float
    busy: int
    taken: int
    done: int
    run: float | None
    drain: str | None
    capped: tuple[str, ...] = ()


@dataclass(frozen=True)
class QueueReading:
    """What one queue holds at one moment; ages and run times in seconds, None when unknown."""

    queue: str
    at: float
    ready: int
    delayed: int
    due_soon: int
    in_flight: int
    oldest_age: float | None
    oldest_is_lower_bound: bool
    paused: bool
    pinned: int | None
    workers: tuple[WorkerInfo, ...]
    mean_run: float | None
    finished: int


_first_seen: dict[tuple[str, bytes], float] = {}


def workers(client: Client) -> list[WorkerInfo]:
    """Every registered worker. Raises redis.RedisError."""
    keys = client.keys_of
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.workers)
        pipe.hgetall(keys.beats)
        pipe.hgetall(keys.drain)
        infos, beats, drains = pipe.execute()
    return _workers(infos, beats, drains)


def _workers(infos: dict[bytes, bytes], beats: dict[bytes, bytes], drains: dict[bytes, bytes]) -> list[WorkerInfo]:
    made = []
    for worker, text in sorted(infos.items()):
        info, beat = json.loads(text), json.loads(beats.get(worker, b"{}"))
        drain = drains.get(worker)
        made.append(
            WorkerInfo(
                id=worker.decode(),
                queue=info["queue"],
                name=info["name"],
                host=info["host"],
                pid=info["pid"],
                slots=info["slots"],
                metrics=info.get("metrics"),
                started=info["started"],
                busy=beat.get("busy", 0),
                taken=beat.get("taken", 0),
                done=beat.get("done", 0),
                run=beat.get("run"),
                drain=drain.decode() if drain else None,
                capped=tuple(info.get("capped", ())),
            )
        )
    return made


def observe(client: Client, queues: Sequence[str], now: float | None = None) -> dict[str, QueueReading]:
    """Read all `queues` at once; `now` is seconds since 1970.

    Raises redis.RedisError: an unreadable broker is not an empty one.
    """
    now = time.time() if now is None else now
    keys = client.keys_of
    steps = len(PRIORITY_STEPS)
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.workers)
        pipe.hgetall(keys.beats)
        pipe.hgetall(keys.drain)
        for queue in queues:
            for name in keys.ready(queue):
                pipe.llen(name)
            for name in keys.ready(queue):
                pipe.lindex(name, -1)
            pipe.zcard(keys.delayed(queue))
            pipe.zcount(keys.delayed(queue), "-inf", (now + DUE_SOON_SECONDS) * 1000)
            pipe.hmget(keys.queue(queue), "paused", "pinned")
            pipe.llen(keys.quarantine(queue))
        infos, beats, drains, *answers = pipe.execute()
    everyone = _workers(infos, beats, drains)
    with client.pipeline(transaction=False) as pipe:
        for worker in everyone:
            pipe.hlen(keys.inflight(worker.id))
        held = dict(zip((worker.id for worker in everyone), pipe.execute() if everyone else (), strict=True))
    each = 2 * steps + 4
    readings = {}
    for n, queue in enumerate(queues):
        part = answers[n * each : (n + 1) * each]
        heads = part[steps : 2 * steps]
        delayed, due_soon, (paused, pinned), apart = part[2 * steps :]
        own = tuple(worker for worker in everyone if worker.queue == queue)
        age, lower = _oldest(queue, heads, now)
        readings[queue] = QueueReading(
            queue=queue,
            at=now,
            ready=sum(part[:steps]) + apart,
            delayed=delayed,
            due_soon=due_soon,
            in_flight=sum(held[worker.id] for worker in own),
            oldest_age=age,
            oldest_is_lower_bound=lower,
            paused=paused == b"1",
            pinned=int(pinned) if pinned else None,
            workers=own,
            mean_run=_mean_run(own),
            finished=sum(worker.done for worker in own),
        )
    return readings


def _mean_run(workers: Iterable[WorkerInfo]) -> float | None:
    runs = [(worker.run, max(worker.done, 1)) for worker in workers if worker.run is not None]
    weight = sum(done for _, done in runs)
    return sum(run * done for run, done in runs) / weight if runs else None


def _oldest(queue: str, heads: Iterable[bytes | None], now: float) -> tuple[float | None, bool]:
    """How long the oldest ready message has waited, and whether that is only what has been seen of it."""
    age: float | None = None
    lower = False
    present = set()
    for head in heads:
        if head is None:
            continue
        stamped = _HEADER_TIME.search(head)
        if stamped:
            since, bound = float(stamped.group(1)), False
        else:
            mark = (queue, head[-200:])
            present.add(mark)
            since, bound = _first_seen.setdefault(mark, now), True
        if age is None or now - since > age:
            age, lower = max(now - since, 0.0), bound
    for mark in [mark for mark in _first_seen if mark[0] == queue and mark not in present]:
        del _first_seen[mark]
    return age, lower


def decisions(client: Client) -> dict[tuple[str, str], int]:
    """How often a scaling decision changed a number of workers, by queue and reason. Raises redis.RedisError."""
    counted = cast(dict[bytes, bytes], client.hgetall(client.keys_of.decisions))
    return {(queue, reason): int(n) for key, n in counted.items() for queue, _, reason in [key.decode().partition(" ")]}


def known_queues(client: Client) -> set[str]:
    """Every queue that holds, or held, tasks: published to through Windrow, or bound by any Celery producer."""
    keys = client.keys_of
    found = {_text(queue) for queue in client.smembers(keys.queues)}
    for table in client.scan_iter(match=f"{keys.prefix}{BINDINGS}*", count=500):
        name = table.decode()[len(keys.prefix) + len(BINDINGS) :]
        if name.endswith(".pidbox") or name in ("celeryev",):
            continue
        found.update(_text(member).split(SEPARATOR)[-1] for member in client.smembers(table))
    return {queue for queue in found if queue and not queue.endswith(".pidbox") and not queue.startswith("celeryev")}


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
