"""Giving a dead worker's in-flight messages back to their queues. Only the leading server does this."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from windrow.broker import lease
from windrow.broker.client import Client
from windrow.broker.scripts import load
from windrow.broker.untold import tell_lost

logger = logging.getLogger(__name__)

LONGEST_TICK = 3.0
"""When two ticks lie further apart, the leader (or Redis) was away: every count of silence starts afresh."""
REMEMBER_GONE = 24 * 3600.0
SPENT_SECONDS = 1800.0
"""The delivery tags of what has ended are kept for once to twice this time…"""
MOST_SPENT = 500_000
"""…or so many, once to twice: then the older half is forgotten."""


@dataclass
class Silence:
    """How long each worker has been silent, counted on the leader's own clock. Pure."""

    seen: dict[str, tuple[bytes, float]] = field(default_factory=dict)
    last_tick: float | None = None
    promised: dict[str, float] = field(default_factory=dict)
    """Workers that were told to wait, and until when their silence does not count."""

    def promise(self, worker: str, now: float) -> None:
        """Don't count this worker's silence for `lease.SECONDS` from `now` on. May be called in another thread."""
        self.promised[worker] = now + lease.SECONDS

    def dead(self, beats: Mapping[str, bytes], now: float) -> list[str]:
        """The workers that have said nothing new for `lease.SECONDS`; `now` is monotonic seconds."""
        if self.last_tick is None or now - self.last_tick > LONGEST_TICK:
            self.seen = {}
        self.last_tick = now
        self.seen = {
            worker: (beat, now) if self.seen.get(worker, (None,))[0] != beat else self.seen[worker]
            for worker, beat in beats.items()
        }
        return [
            worker
            for worker, (_, since) in self.seen.items()
            if now - since > lease.SECONDS and self.promised.get(worker, now) <= now
        ]


class Recovery:
    """Watches the beats and gives back what dead workers held."""

    def __init__(self, client: Client, max_recoveries: Mapping[str, int], default: int = 3) -> None:
        """`max_recoveries` by queue, for workers of a release that doesn't tell theirs; a queue without one has `default`."""
        self._client, self._max, self._default = client, max_recoveries, default
        self._silence = Silence()
        self._next_cleaning = 0.0
        self._spent_since = float("-inf")

    def tick(self, now: float) -> list[str]:
        """Look once (each second), at `now` (monotonic seconds); the workers whose messages went back.

        Raises redis.RedisError.
        """
        keys = self._client.keys_of
        with self._client.pipeline(transaction=False) as pipe:
            pipe.hkeys(keys.epochs)
            pipe.hgetall(keys.beats)
            pipe.smembers(keys.exited)
            pipe.scard(keys.spent)
            pipe.hlen(keys.untold)
            known, beats, exited, spent, untold = pipe.execute()
        workers = {worker.decode(): beats.get(worker, b"") for worker in known}
        dead = self._silence.dead(workers, now)
        # A watched process that has exited, with children that die with it, needs no counting.
        dead += [worker.decode() for worker in exited if worker.decode() in workers and worker.decode() not in dead]
        for worker in dead:
            self.recover(worker)
        if untold or dead:
            tell_lost(self._client)
        if spent > MOST_SPENT or (spent and now - self._spent_since > SPENT_SECONDS):
            self._client.rename(keys.spent, keys.spent_before)
            self._spent_since = now
        if now >= self._next_cleaning:
            self._next_cleaning = now + 600
            self._silence.promised = {name: until for name, until in self._silence.promised.items() if until > now}
            self._client.zremrangebyscore(keys.gone, "-inf", (time.time() - REMEMBER_GONE) * 1000)
        return dead

    def promise(self, worker: str, now: float) -> None:
        """Redis is away from this leader and the worker: its silence does not count for `lease.SECONDS` (monotonic `now`)."""
        self._silence.promise(worker, now)

    def recover(self, worker: str) -> tuple[int, int]:
        """Declare a worker dead and give back what it held: how many went back, how many are lost for good."""
        keys = self._client.keys_of
        queue = worker.split("/", 1)[0]
        names = [
            keys.epochs, keys.beats, keys.workers, keys.drain, keys.inflight(worker), keys.started(worker),
            keys.gone, keys.events, keys.recoveries, keys.exited, keys.held, keys.spent,
            keys.untold,
        ]  # fmt: skip
        most = _told(self._client.hget(keys.workers, worker))
        if most is None:
            most = self._max.get(queue, self._default)
        arguments = [worker, int(time.time() * 1000), keys.prefix, most]
        back, lost = load("recover")(self._client, names, arguments)
        self._silence.seen.pop(worker, None)
        logger.warning("worker %s is dead: %d messages went back to their queue, %d are lost", worker, back, lost)
        return int(back), int(lost)


def _told(about: bytes | str | None) -> int | None:
    """The `maxRecoveries` that a worker told when it registered: on a cluster the leader knows no specs."""
    try:
        most = json.loads(about or b"{}").get("maxRecoveries")
    except (ValueError, AttributeError):
        return None
    return most if isinstance(most, int) and most >= 0 else None
