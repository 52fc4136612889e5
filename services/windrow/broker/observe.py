"""What the queues hold and who works on them: one call for all of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, cast

from windrow.broker.client import Client
from windrow.broker.keys import BINDINGS, SEPARATOR
from windrow.broker.scripts import load

DUE_SOON_SECONDS = 10.0


@dataclass(frozen=True)
class WorkerInfo:
    """A worker as it describes itself; `drain` is None, `asked` or `drained`; `run` is its mean run time in seconds.

    `busy`, `done` and `run` are as of its last beat, up to a second ago. `capped` names tasks whose own limits the queue's hard
    limit cuts, at most 20 of them.
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
    paused_by: str | None = None
    """Who paused it, when that is known: `spec <namespace>/<name>`; None: a person."""
    rate: tuple[float, int] | None = None
    """The queue's rate limit, task starts a second and at once; None without one."""


def nothing_in(queue: str, at: float) -> QueueReading:
    """The reading of a queue that holds nothing and has neither workers nor settings."""
    return QueueReading(
        queue=queue,
        at=at,
        ready=0,
        delayed=0,
        due_soon=0,
        in_flight=0,
        oldest_age=None,
        oldest_is_lower_bound=False,
        paused=False,
        pinned=None,
        workers=(),
        mean_run=None,
        finished=0,
    )


def workers(client: Client) -> list[WorkerInfo]:
    """Every registered worker. Raises redis.RedisError."""
    keys = client.keys_of
    with client.pipeline(transaction=False) as pipe:
        pipe.hgetall(keys.workers)
        pipe.hgetall(keys.beats)
        pipe.hgetall(keys.drain)
        infos, beats, drains = pipe.execute()
    return _workers(infos, beats, drains)


def _workers(
    infos: dict[bytes, bytes], beats: dict[bytes, bytes], drains: dict[bytes, bytes], taken: dict[bytes, int] | None = None
) -> list[WorkerInfo]:
    """`taken` is what is in flight at the moment; without it what the last beats said."""
    made = []
    for worker, text in sorted(infos.items()):
        info, beat = _described(text), json.loads(beats.get(worker, b"{}"))
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
                taken=taken[worker] if taken is not None else beat.get("taken", 0),
                done=beat.get("done", 0),
                run=beat.get("run"),
                drain=drain.decode() if drain else None,
                capped=tuple(info.get("capped", ())),
            )
        )
    return made


@lru_cache(maxsize=8192)
def _described(text: bytes) -> dict[str, Any]:
    """What a worker says of itself, once for all: it never changes."""
    return cast(dict[str, Any], json.loads(text))


def observe(client: Client, queues: Sequence[str], now: float | None = None) -> dict[str, QueueReading]:
    """Read all `queues` at once; `now` is seconds since 1970.

    Raises redis.RedisError: an unreadable broker is not an empty one.
    """
    now = time.time() if now is None else now
    found = held(client, queues, now)
    return {queue: found.get(queue) or nothing_in(queue, now) for queue in queues}


def held(client: Client, queues: Sequence[str], now: float) -> dict[str, QueueReading]:
    """As `observe`, but those of `queues` that hold nothing and have neither workers nor settings are left out."""
    keys = client.keys_of
    names = [keys.workers, keys.beats, keys.drain]
    answer = load("observe")(client, names, [keys.prefix, (now + DUE_SOON_SECONDS) * 1000, *queues])
    infos, beats, drains, in_flight = map(_paired, answer[:4])
    crews: dict[str, list[WorkerInfo]] = {}
    for worker in _workers(infos, beats, drains, in_flight):
        crews.setdefault(worker.queue, []).append(worker)
    asked = set(queues)
    found = {queues[one[0] - 1]: one for one in answer[4]}
    present: set[tuple[str, bytes]] = set()
    readings = {}
    for queue in [*found, *(crews.keys() & asked - found.keys())]:
        counts = found.get(queue, _NOTHING)
        crew = tuple(crews.get(queue, ()))
        age, lower = _oldest(client, queue, counts[5:9], now, present)
        paused, paused_by, pinned, rate, burst = counts[12:17]
        readings[queue] = QueueReading(
            queue=queue,
            at=now,
            ready=sum(counts[1:5]) + counts[11],
            delayed=counts[9],
            due_soon=counts[10],
            in_flight=sum(worker.taken for worker in crew),
            oldest_age=age,
            oldest_is_lower_bound=lower,
            paused=paused == b"1",
            pinned=int(pinned) if pinned else None,
            workers=crew,
            mean_run=_mean_run(crew),
            finished=sum(worker.done for worker in crew),
            paused_by=paused_by.decode() if paused_by else None,
            rate=(float(rate), int(burst or 1)) if rate else None,
        )
    for mark in [mark for mark in client.first_seen if mark[0] in asked and mark not in present]:
        del client.first_seen[mark]
    return readings


_NOTHING: Final[list[Any]] = [0, 0, 0, 0, 0, None, None, None, None, 0, 0, 0, None, None, None, None, None]
"""What the script says of a queue, were it not left out."""


def _paired(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _mean_run(workers: Iterable[WorkerInfo]) -> float | None:
    runs = [(worker.run, max(worker.done, 1)) for worker in workers if worker.run is not None]
    weight = sum(done for _, done in runs)
    return sum(run * done for run, done in runs) / weight if runs else None


def _oldest(
    client: Client, queue: str, heads: Iterable[bytes | None], now: float, present: set[tuple[str, bytes]]
) -> tuple[float | None, bool]:
    """How long the oldest ready message has waited, and whether that is only what has been seen of it."""
    age: float | None = None
    lower = False
    for head in heads:
        if head is None:
            continue
        if head.startswith(b"t"):
            since, bound = float(head[1:]), False
        else:
            mark = (queue, head[1:])
            present.add(mark)
            since, bound = client.first_seen.setdefault(mark, now), True
        if age is None or now - since > age:
            age, lower = max(now - since, 0.0), bound
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
