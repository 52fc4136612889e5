"""Windrow's transport: kombu's Redis transport on the same key layout.

Publishing puts the message on its queue and its `accepted` event on the stream in one atomic step; a delay waits in Redis, not
in a worker. Taking is a `Taker`'s, when a Windrow worker attaches one; any other consumer works as with the stock transport.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import redis
from kombu.transport import redis as stock
from kombu.utils.json import dumps, object_hook

from windrow.broker import admin
from windrow.broker.client import Client
from windrow.broker.inflight import Taken
from windrow.broker.keys import Keys
from windrow.broker.publication import MOST_MESSAGE, names_of, publication
from windrow.broker.refusal import is_full, judge, say_unpublished
from windrow.broker.scripts import load
from windrow.broker.taker import Taker

logger = logging.getLogger(__name__)

_PUBLISH, _INSIST = load("publish"), load("insist")
_decode = json.JSONDecoder(object_hook=object_hook).decode
"""What kombu's `loads` does, with one decoder for all messages."""

NOTHING_FOLLOWS = b'{"callbacks": null, "errbacks": null, "chain": null, "chord": null}]'
"""How the body of a call ends that is part of no canvas."""


@contextmanager
def _left_out_when_full() -> Iterator[None]:
    try:
        yield
    except redis.ResponseError as error:
        if not is_full(error):
            raise


Rejecter = Callable[[Taken, str], None]


READ_SECONDS = 1.0
"""A read of remote control that finds nothing ends after this time; the event loop does nothing else meanwhile."""


class Channel(stock.Channel):
    """Publishes with the record's first event; hands consuming to a taker when one is attached."""

    supports_batch_publish = False  # a batch would publish without the events

    _plain: redis.Redis | None = None
    taker: Taker | None = None
    reject_raw: Rejecter | None = None

    @property
    def platform_keys(self) -> Keys:
        """The platform's keys under this transport's prefix."""
        return Keys(self.global_keyprefix)

    # --- publishing ------------------------------------------------------------------------------------------------------

    def _put(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        headers = message.get("headers") or {}
        if "task" not in headers or "id" not in headers or queue in self._expires:
            self._answer(queue, message, **kwargs)
            return
        made = publication(message, queue, self.platform_keys)
        try:
            answer = _PUBLISH(self._plain_client(), made.keys, made.arguments)
        except redis.ResponseError as error:
            answer = error
        say_unpublished(headers["id"], judge(answer, made.task))

    def _plain_client(self) -> redis.Redis:
        """A client on this channel's pool that puts no prefix before keys: a script's keys have theirs already."""
        pool = self.pool
        if self._plain is None or self._plain.connection_pool is not pool:
            self._plain = redis.Redis(connection_pool=pool)
        return self._plain

    # --- a full Redis refuses kombu's transactions, reading ones too: no worker's start and no remote control may fail by that

    def _queue_bind(self, exchange: str, routing_key: str | None, pattern: str | None, queue: str | None) -> None:
        try:
            super()._queue_bind(exchange, routing_key, pattern, queue)
        except redis.ResponseError as error:
            if not is_full(error):
                raise
            member = self.sep.join([routing_key or "", pattern or "", queue or ""])
            for table in (self.keyprefix_queue, self.keyprefix_binding_permanent):
                self._insist("SADD", table % (exchange,), member)

    def _size(self, queue: str) -> int:
        with self.conn_or_acquire() as client, client.pipeline(transaction=False) as pipe:
            for step in self.priority_steps:
                pipe.llen(self._q_for_pri(queue, step))
            return sum(pipe.execute())

    @cached_property
    def _refresh_binding(self) -> Any:
        return self._create_client().register_script("redis.call('PERSIST', KEYS[1])\n" + stock.REFRESH_BINDING)

    def _refresh_bindings(self, queues: list[str]) -> None:
        with _left_out_when_full():
            super()._refresh_bindings(queues)

    def _maybe_update_queues_expire(self, client: Any, queue: str) -> None:
        with _left_out_when_full():
            super()._maybe_update_queues_expire(client, queue)

    def _answer(self, queue: str, message: dict[str, Any], **kwargs: Any) -> None:
        """Put what is no task call: an answer of remote control, say."""
        try:
            super()._put(queue, message, **kwargs)
        except redis.ResponseError as error:
            if not is_full(error) or queue not in self._expires:
                raise
            self._insist("LPUSH", queue, dumps(message))
            self._plain_client().pexpire(self.global_keyprefix + queue, self._expires[queue])

    def _purge(self, queue: str) -> int:
        """Drop what waits on a queue (`celery purge`); of a task queue each task ends on record, delayed ones too."""
        if queue in self._expires or queue in self._fanout_queues:
            return int(super()._purge(queue))
        client = Client(connection_pool=self.pool)
        client.keys_of = self.platform_keys
        return admin.purge(client, queue)

    def _insist(self, command: str, key: str, *arguments: Any) -> None:
        _INSIST(self._plain_client(), [self.global_keyprefix + key], [command, *arguments])

    # --- taking ----------------------------------------------------------------------------------------------------------

    def basic_consume(self, queue: str, no_ack: bool, callback: Any, consumer_tag: str, **kwargs: Any) -> Any:
        """Consume; a task queue through the attached taker, all else as kombu does."""
        taker = self.taker
        if taker is None or no_ack or queue in self._fanout_queues:
            return super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs)
        if queue != taker.queue:
            raise ValueError(f"this worker serves the queue {taker.queue!r} alone; run another worker for {queue!r}")
        self._tag_to_queue[consumer_tag] = queue
        self._consumers.add(consumer_tag)

        def deliver(taken: Taken) -> None:
            if len(taken.message) > MOST_MESSAGE and self.reject_raw is not None:
                self.reject_raw(taken, f"the message must have at most 8 MiB ({MOST_MESSAGE} bytes), not {len(taken.message)}")
                return
            try:
                raw = _decode(taken.message.decode())
                taken.names = names_of(raw["properties"])
                raw["properties"]["delivery_tag"] = taken.tag
                message = self.Message(raw, channel=self)
            except Exception as error:  # whatever a stranger has put into the queue
                if self.reject_raw is None:
                    raise
                self.reject_raw(taken, f"the message must be one that Celery made: {type(error).__name__}: {error}")
                return
            taken.goes_on = isinstance(message.body, bytes) and not message.body.endswith(NOTHING_FOLLOWS)
            message.taken = taken
            callback(message)

        taker.consume(deliver)
        return None

    def _basic_cancel(self, consumer_tag: str) -> Any:
        if self.taker is not None and self._tag_to_queue.get(consumer_tag) == self.taker.queue:
            self._tag_to_queue.pop(consumer_tag)
            self._consumers.discard(consumer_tag)
            self.taker.rest()
            return None
        return super()._basic_cancel(consumer_tag)

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """Set how many messages the consumer may hold; with a taker: its slots (`control.pool_grow` and `pool_shrink`)."""
        super().basic_qos(prefetch_size, prefetch_count, apply_global)
        if self.taker is not None and prefetch_count > 0:
            self.taker.inflight.slots = prefetch_count

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        """Acknowledge; with a taker this ends the message's stay without an event."""
        if self.taker is not None and isinstance(delivery_tag, int):
            self.taker.say("F", delivery_tag, "", "", "", "", "")
        else:
            super().basic_ack(delivery_tag, multiple)

    def basic_reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Reject; with a taker, `requeue` hands the message back."""
        if self.taker is not None and isinstance(delivery_tag, int):
            if requeue:
                self.taker.say("G", delivery_tag, "")
            else:
                self.taker.say("F", delivery_tag, "", "", "", "", "")
        else:
            super().basic_reject(delivery_tag, requeue)

    def binding_refresh_is_due(self) -> bool:
        """Whether kombu would speak to Redis if it were asked to refresh this channel's bindings now."""
        queues = [queue for queue in self._active_queues if queue in self._expires]
        if not queues:
            return False
        now = time.monotonic()
        refresh_every = min(self._binding_ttl(queue) for queue in queues) / 1000 / 3
        refresh = now - self._binding_expiry_refreshed_at >= refresh_every
        return bool(refresh or now - self._bindings_swept_at >= stock.BINDING_SWEEP_INTERVAL)

    @cached_property
    def subclient(self) -> redis.client.PubSub:
        """The connection that hears remote control; a read that finds nothing ends: redis-py's own waits for ever."""
        made: redis.client.PubSub = stock.Channel.subclient.__get__(self, type(self))
        made.parse_response = partial(made.parse_response, block=False, timeout=READ_SECONDS)  # type: ignore[method-assign]
        return made

    def connection_maker(self) -> Callable[[int], redis.Connection]:
        """What makes connections like this channel's own, for a wire."""
        pool = self.pool
        settings = {
            **pool.connection_kwargs,
            "socket_timeout": 3,
            "socket_connect_timeout": 1,
            "health_check_interval": 0,
        }

        def make(protocol: int) -> redis.Connection:
            connection: redis.Connection = pool.connection_class(**{**settings, "protocol": protocol})
            return connection

        return make


class _Poller(stock.MultiChannelPoller):
    """kombu's poller, which a lost control connection does not stop: it is made again a second later."""

    patient = False
    """Set by a worker whose tasks come through a taker."""
    _listen_again = 0.0
    _refreshing: threading.Thread | None = None

    def on_poll_init(self, poller: Any) -> None:
        with _left_out_when_full():
            super().on_poll_init(poller)

    def _register_LISTEN(self, channel: Channel) -> None:
        if not self.patient:
            super()._register_LISTEN(channel)
            return
        if time.monotonic() < self._listen_again:
            return
        try:
            super()._register_LISTEN(channel)
        except channel.connection_errors as error:
            self._listen_again = time.monotonic() + 1.0
            logger.debug("remote control is away: %s", error)

    def on_readable(self, fileno: int) -> None:
        channel, _ = self._fd_to_chan.get(fileno, (None, None))
        if channel is None or not self.patient:
            super().on_readable(fileno)
            return
        try:
            super().on_readable(fileno)
        except channel.connection_errors as error:
            logger.debug("remote control was cut off: %s", error)
            client = channel.__dict__.get("subclient")
            if client is not None and client.connection is not None:
                client.connection.disconnect()

    def maybe_refresh_binding_expiry(self) -> None:
        """As kombu's (a second's look after remote control's bindings), in a thread: a frozen Redis must not hold the loop."""
        if not self.patient:
            super().maybe_refresh_binding_expiry()
        elif self._refreshing is None or not self._refreshing.is_alive():
            refresh = super().maybe_refresh_binding_expiry
            if any(channel.binding_refresh_is_due() for channel in self._channels):
                self._refreshing = threading.Thread(target=refresh, name="bindings", daemon=True)
                self._refreshing.start()

    def maybe_restore_messages(self) -> None:
        """Nothing: recovery is by leases, never by a timeout shared by all queues."""
        if not self.patient:
            super().maybe_restore_messages()


class Transport(stock.Transport):
    """The transport `windrow.broker.transport:Transport`, for `redis://` and `rediss://` URLs."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cycle = _Poller()
