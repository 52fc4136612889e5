"""Dramatiq on Redis: the broker's own defaults, except for the silence after which a worker counts as dead."""

from __future__ import annotations

import os
from collections.abc import Sequence

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers import work

# heartbeat_timeout: dramatiq.io/reference.html#dramatiq.brokers.redis.RedisBroker, default 60 s; requeued by any other worker's
# maintenance, which runs by chance with one command in a thousand by default (maintenance_chance, out of a million).
settings = {"heartbeat_timeout": work.SILENCE * 1000, "maintenance_chance": 100_000} if os.environ.get("BENCH_KILL") else {}
broker = RedisBroker(url=os.environ["REDIS_URL"], **settings)
dramatiq.set_broker(broker)

noop = dramatiq.actor(work.noop)
wait50 = dramatiq.actor(work.wait50)
marked = dramatiq.actor(work.marked)


def publish(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    for each in arguments:
        globals()[task].send(*each)
