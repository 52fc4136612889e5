"""What a worker says when it is dead for the others: refused, on record, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.hubs import Hub, hand
from windrow.broker import events
from windrow.broker.client import Client, connect
from windrow.broker.keys import Keys
from windrow.broker.recovery import Recovery

KEYS = Keys()


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    made = connect(redis_url)
    yield made
    made.close()


def test_the_ends_that_a_dead_worker_had_not_told_are_on_record_as_refused(client: Client, redis_url: str) -> None:
    """A worker that was declared dead stops; its message runs elsewhere, and its own end of it is told as refused."""
    pool = redis.ConnectionPool.from_url(redis_url)
    hub = Hub()
    late = hand(hub, 1, lambda protocol: redis.Connection(**{**pool.connection_kwargs, "protocol": protocol}), at_once=False)
    gone: list[bool] = []
    late.taker._on_gone = lambda: gone.append(True)
    try:
        client.lpush("q", "m1")
        hub.run(lambda: late.held, what="it is taken")
        Recovery(client, {}).recover(late.taker.worker)
        ended = {"k": "ended", "id": "e1", "t": 2.0, "attempt": "a1", "state": "success", "outcome": "success"}
        late.taker.say("F", late.held[0].tag, events.encode(ended), "e1", "", "", "1")
        hub.run(lambda: gone, what="it learns that it is dead")
        told = [event for _, entry in client.xrange(KEYS.events) for event in events.decode(entry)]
        assert told == [{"k": "refused", "id": "e1", "t": 2.0, "what": "finish", "of": ended}]
        assert client.lrange("q", 0, -1) == [b"m1"]
    finally:
        hub.close()
