"""Remote control's connection never holds a worker's event loop."""

from __future__ import annotations

import threading

from kombu import Connection, Consumer, Exchange, Queue
from kombu.utils.eventio import poll

BOUND_S = 5.0


def test_a_read_that_finds_nothing_ends(redis_url: str) -> None:
    """redis-py waits for ever in such a read: a Redis that is torn down within an answer would stop the worker."""
    with Connection(redis_url, transport="windrow.broker.transport:Transport") as connection:
        channel = connection.channel()
        poller = connection.transport.cycle
        poller.patient = True
        poller.on_poll_init(poll())
        Consumer(channel, [Queue("told", Exchange("told", type="fanout"))], no_ack=True, on_message=print).consume()
        poller.on_poll_start()
        number = channel.subclient.connection._sock.fileno()
        poller.on_readable(number)  # that it is subscribed
        turn = threading.Thread(target=poller.on_readable, args=(number,), daemon=True)
        turn.start()
        turn.join(BOUND_S)
        assert not turn.is_alive(), f"the event loop was held for more than {BOUND_S:g} s"
