"""Delayed messages that are due go to their queues: the leader's part, for queues without a worker that looks itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from windrow.broker.client import Client
from windrow.broker.scripts import load

AT_ONCE = 1000


def promote(client: Client, queues: Iterable[str], now: float) -> int:
    """Move what is due at `now` (seconds since 1970) to the lists; says how many. Raises redis.RedisError."""
    return _promote(client, _looked(client, list(queues)), now)


class Delays:
    """Sends on what is due, at once where no worker of the queue does, and knows when the next one is."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ahead: dict[str, float] = {}

    @property
    def next_due(self) -> float | None:
        """When the next message of a queue without a listening worker is due, seconds since 1970; None when none waits."""
        return min(self._ahead.values(), default=None)

    def look(self, queues: Iterable[str], now: float) -> int:
        """Move what is due at `now` (seconds since 1970) to the lists; says how many. Raises redis.RedisError."""
        names = list(queues)
        due = _looked(self._client, names)
        moved = _promote(self._client, due, now)
        if moved:
            due = _looked(self._client, names)
        self._ahead = {queue: at for queue, (at, listened) in due.items() if at is not None and not listened}
        return moved

    def again(self, now: float) -> int:
        """The same, of the queues that `next_due` speaks of alone. Raises redis.RedisError."""
        return self.look(list(self._ahead), now)


def _looked(client: Client, queues: list[str]) -> dict[str, tuple[float | None, bool]]:
    """When the first message of each queue is due (None: none waits), and whether a worker listens there."""
    keys = client.keys_of
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.zrange(keys.delayed(queue), 0, 0, withscores=True)
            pipe.exists(keys.listener(queue))
        answers = pipe.execute()
    firsts, listeners = answers[::2], answers[1::2]
    return {
        queue: (first[0][1] / 1000 if first else None, bool(listener))
        for queue, first, listener in zip(queues, firsts, listeners, strict=True)
    }


def _promote(client: Client, due: Mapping[str, tuple[float | None, bool]], now: float) -> int:
    keys = client.keys_of
    moved = 0
    for queue, (at, _) in due.items():
        step = 1 if at is not None and at <= now else 0
        while step:
            arguments = [int(now * 1000), AT_ONCE, keys.prefix]
            step = int(load("promote")(client, [keys.delayed(queue), keys.delayed_messages(queue)], arguments))
            moved += step
    return moved
