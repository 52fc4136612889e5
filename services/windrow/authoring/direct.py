"""Publishing task calls straight to Redis: what Celery has made of a call goes out in one script call, many in one pipeline.

Celery gives a finished message to a kombu producer, which asks a connection pool, a channel, declarations and an exchange
before it comes to the transport. A task call to a queue that this process has declared needs none of them. Everything else
(other exchanges, compression, a queue that expires, what a coroutine publishes to a queue first) goes kombu's way.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import redis
from kombu.entity import maybe_delivery_mode
from kombu.exceptions import OperationalError
from kombu.serialization import dumps
from kombu.utils.functional import maybe_list

from windrow.broker import events
from windrow.broker.keys import Keys
from windrow.broker.publication import HEADER, Publication, header_of, publication
from windrow.broker.refusal import judge, say_unpublished
from windrow.broker.scripts import load
from windrow.broker.transport import Transport

_PUBLISH, _REPLACE = load("publish"), load("replace")

Send = Callable[[list[Publication]], None]


def identity() -> dict[str, Any]:
    """What makes all tries of a call that kombu publishes the same message: fields of its header."""
    return {"as": {"id": events.new_id(), "tag": str(uuid4())}}


class _Connection:
    """What Celery asks of a producer's connection."""

    @contextmanager
    def _reraise_as_library_errors(self, *args: Any, **options: Any) -> Iterator[None]:
        yield


class Outlet:
    """The way of one app to its Redis, known once kombu has connected; one a process and app, for all threads."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._client: redis.Redis | None = None
        self._declared: set[str] = set()
        self._kombus: set[str] = set()
        self.keys = Keys()

    @property
    def client(self) -> redis.Redis:
        """A client of the app's Redis; once `takes` has been true."""
        assert self._client is not None  # noqa: S101 - only then is a queue declared
        return self._client

    def takes(self, routing_key: object) -> bool:
        """Whether a message to this queue can go straight to Redis."""
        return routing_key in self._declared

    def declare(self, declare: Any, routing_key: Any) -> None:
        """Declare what a message needs, once for a queue, and learn where Redis is; then `takes` says how messages go."""
        if routing_key in self._kombus:
            return
        with self._app.amqp.producer_pool.acquire(block=True) as producer, producer.connection._reraise_as_library_errors():
            for entity in maybe_list(declare) or ():
                producer.maybe_declare(entity)
            if isinstance(producer.connection.transport, Transport):
                self._declares(self._learn(producer), declare, routing_key)
            if routing_key not in self._declared:
                self._kombus.add(routing_key)

    def publish_by_kombu(self, body: Any, declare: Any, routing_key: Any, headers: Any, **options: Any) -> None:
        """Publish through kombu's producer, and learn from it where Redis is and that the queue is declared."""
        with self._app.amqp.producer_pool.acquire(block=True) as producer, producer.connection._reraise_as_library_errors():
            own = dict(headers) if headers is not None else None  # what the transport fills in is not the next try's
            producer.publish(body, declare=declare, routing_key=routing_key, headers=own, **options)
            if isinstance(producer.connection.transport, Transport):
                self._declares(self._learn(producer), declare, routing_key)

    def _declares(self, channel: Any, declare: Any, routing_key: Any) -> None:
        for entity in maybe_list(declare) or ():
            name = getattr(entity, "name", None)
            if name == routing_key and getattr(entity, "expires", None) is None and name not in channel._fanout_queues:
                self._declared.add(name)

    def connect(self) -> bool:
        """Learn where Redis is, if that isn't known; False when this app's broker is none of Windrow's.

        Raises kombu's OperationalError when Redis is away.
        """
        if self._client is None:
            with self._app.amqp.producer_pool.acquire(block=True) as producer, producer.connection._reraise_as_library_errors():
                if isinstance(producer.connection.transport, Transport):
                    self._learn(producer)
        return self._client is not None

    def _learn(self, producer: Any) -> Any:
        channel = producer.channel
        if self._client is None:
            self._client, self.keys = redis.Redis(connection_pool=channel.pool), channel.platform_keys
        return channel

    def send(self, publications: list[Publication]) -> None:
        """Put calls into Redis, in their order; raises kombu's OperationalError when it is away."""
        client = self.client
        done: list[Any]
        try:
            if len(publications) == 1:
                done = [_PUBLISH(client, publications[0].keys, publications[0].arguments)]
            else:
                done = _pipelined(client, publications)
        except redis.ResponseError as error:
            done = [error]
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise OperationalError(str(error)) from error
        for one, answer in zip(publications, done, strict=True):
            say_unpublished(one.task_id, judge(answer, one.task))

    def send_together(self, publications: list[Publication]) -> None:
        """Put calls that take one attempt's place into Redis, all or none; raises kombu's OperationalError when it is away."""
        keys = [key for one in publications for key in one.keys]
        arguments = [argument for one in publications for argument in one.arguments]
        each = [len(publications[0].keys), len(publications[0].arguments)]
        try:
            done = _REPLACE(self.client, keys, [*each, *arguments])
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            raise OperationalError(str(error)) from error
        for one, answer in zip(publications, done, strict=True):
            say_unpublished(one.task_id, judge(answer, one.task))


def _pipelined(client: redis.Redis, publications: list[Publication]) -> list[Any]:
    with client.pipeline(transaction=False) as pipe:
        pipe.execute_command("SCRIPT", "LOAD", _PUBLISH.text)
        for one in publications:
            pipe.execute_command("EVALSHA", _PUBLISH.sha, len(one.keys), *one.keys, *one.arguments)
        return list(pipe.execute(raise_on_error=False))[1:]


class DirectProducer:
    """kombu's producer as far as Celery needs it to publish a task call; `send` takes what is ready to go.

    As a context manager (around a group, say) it holds its messages and sends them together at the end.
    """

    connection = _Connection()

    def __init__(self, outlet: Outlet, send: Send, block: Callable[..., None]) -> None:
        """`block(name, …)` calls what waits for Redis; `name` is for the sentence when it fails."""
        self._outlet, self._send, self._block = outlet, send, block
        self._held: list[Publication] = []
        self._depth = 0

    def publish(
        self, body: Any, exchange: Any = None, routing_key: Any = None, serializer: str | None = None, compression: Any = None,
        headers: dict[str, Any] | None = None, declare: Any = None, priority: int | None = None, delivery_mode: Any = None,
        expiration: float | None = None, retry: bool = False, retry_policy: Any = None, timeout: Any = None,
        confirm_timeout: Any = None, mandatory: Any = None, immediate: Any = None, content_type: str | None = None,
        content_encoding: str | None = None, **properties: Any,
    ) -> None:  # fmt: skip
        """Publish as kombu's `Producer.publish` does; straight to Redis where that is the same."""
        task = headers is not None and "task" in headers
        plain = task and content_type is None and content_encoding is None and not exchange and not compression
        name = str(headers["task"]) if headers is not None and task else "an event"
        if not plain or not self._goes_directly(name, declare, routing_key):
            self.flush()
            if headers is not None and task:
                headers[HEADER] = {**header_of(headers), **identity()}
            options = {
                "exchange": exchange, "serializer": serializer, "compression": compression, "headers": headers,
                "priority": priority or 0, "delivery_mode": delivery_mode, "expiration": expiration, "timeout": timeout,
                "confirm_timeout": confirm_timeout, "content_type": content_type, "content_encoding": content_encoding,
                "mandatory": mandatory, "immediate": immediate, **properties,
            }  # fmt: skip
            self._block(name, self._outlet.publish_by_kombu, body, declare, routing_key, **options)
            return
        kind, encoding, text = dumps(body, serializer=serializer)
        if expiration is not None:
            properties["expiration"] = str(int(expiration * 1000))
        reply_to = properties.get("reply_to")
        message = {
            "body": base64.b64encode(text.encode() if isinstance(text, str) else text).decode(),
            "content-encoding": encoding,
            "content-type": kind,
            "headers": headers,
            "properties": {
                **properties,
                "reply_to": getattr(reply_to, "name", reply_to),
                "delivery_mode": maybe_delivery_mode(delivery_mode),
                "delivery_info": {"exchange": "", "routing_key": routing_key},
                "priority": priority or 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
        self._held.append(publication(message, routing_key, self._outlet.keys))
        if not self._depth:
            self.flush()

    def _goes_directly(self, name: str, declare: Any, routing_key: Any) -> bool:
        """Whether the queue is declared and can be published to directly."""
        if not self._outlet.takes(routing_key):
            self._block(name, self._outlet.declare, declare, routing_key)
        return self._outlet.takes(routing_key)

    def flush(self) -> None:
        """Send what is held."""
        held, self._held = self._held, []
        if held:
            self._send(held)

    def __enter__(self) -> DirectProducer:
        self._depth += 1
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            if kind is None:
                self.flush()
            self._held = []
