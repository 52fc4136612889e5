"""Delayed messages that are due go to their queues: the leader's part, for queues without a worker."""

from __future__ import annotations

from collections.abc import Iterable

from windrow.broker.client import Client
from windrow.broker.scripts import load

AT_ONCE = 1000


def promote(client: Client, queues: Iterable[str], now: float) -> int:
    """Move what is due at `now` (seconds since 1970) to the lists; says how many. Raises redis.RedisError."""
    keys = client.keys_of
    names = list(queues)
    with client.pipeline(transaction=False) as pipe:
        for queue in names:
            pipe.zcount(keys.delayed(queue), "-inf", now * 1000)
        waiting = dict(zip(names, pipe.execute(), strict=True))
    moved = 0
    for queue, due in waiting.items():
        while due > 0:
            arguments = [int(now * 1000), AT_ONCE, keys.prefix]
            step = int(load("promote")(client, [keys.delayed(queue), keys.delayed_messages(queue)], arguments))
            moved += step
            due = due - step if step else 0
    return moved
