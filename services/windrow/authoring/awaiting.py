"""`await task.adelay(…)`: publishing that the event loop does not wait for.

Celery makes the message as for `delay()`; its way to Redis is awaited. What many coroutines publish at the same time leaves in
one pipeline on one connection of the running loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from weakref import WeakKeyDictionary

import redis
import redis.asyncio as aio
from kombu.exceptions import OperationalError

from windrow.authoring.direct import DirectProducer
from windrow.authoring.publishing import AWAY, PAUSE, RETRY_SECONDS, bounded, failure, outlet_of
from windrow.broker.publication import Publication
from windrow.broker.refusal import judge, say_unpublished
from windrow.broker.scripts import load

MOST_AT_ONCE = 200
"""Messages of one pipeline."""
_PUBLISH = load("publish")
_KEPT = (
    "host", "port", "path", "db", "username", "password", "credential_provider", "client_name", "socket_timeout",
    "socket_connect_timeout", "socket_keepalive", "socket_keepalive_options",
)  # fmt: skip
"""The settings of a blocking connection that mean the same for one of a loop; and all that begin with `ssl_`."""

_outlets: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, LoopOutlet]] = WeakKeyDictionary()


async def publish_soon(app: Any, task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Any:
    """Publish a call of `task`; its AsyncResult, once Redis has the message.

    Raises what `apply_async` raises: OperationalError within 3 s when Redis is away, EncodeError for what is no JSON.
    """
    producer = _Collecting(app)
    result = task.apply_async(args, kwargs, producer=producer, **options)
    for step in producer.steps:
        if isinstance(step, Publication):
            await loop_outlet(app).send(step)
        else:  # the first message to a queue, and what else must go kombu's way
            await asyncio.to_thread(bounded, app, str(task.name), step, False)
    return result


class _Collecting(DirectProducer):
    """Keeps what Celery publishes through it."""

    def __init__(self, app: Any) -> None:
        super().__init__(outlet_of(app), self._keep, self._later)
        self._app = app
        self.steps: list[Publication | Callable[[], Any]] = []
        """In their order: a message, and the event that says it was sent, may both be kombu's."""

    def _keep(self, publications: list[Publication]) -> None:
        self.steps += publications

    def _goes_directly(self, name: str, declare: Any, routing_key: Any) -> bool:
        return outlet_of(self._app).takes(routing_key)

    def _later(self, name: str, fun: Any, *args: Any, **options: Any) -> None:
        self.steps.append(lambda: fun(*args, **options))


def loop_outlet(app: Any) -> LoopOutlet:
    """The running loop's way to the app's Redis, which ends with the loop."""
    outlets = _outlets.setdefault(asyncio.get_running_loop(), {})
    found = outlets.get(app)
    if found is None:
        found = outlets[app] = LoopOutlet(app)
    return found


class LoopOutlet:
    """One connection of one event loop, which all its coroutines publish on."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._client = _client_like(outlet_of(app).client)
        self._waiting: list[tuple[Publication, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None
        self._end = self._close_with_loop()
        self._begun = False

    async def send(self, publication: Publication) -> None:
        """Put a call into Redis; raises OperationalError when it is away, within 3 s."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((publication, answer))
        if self._sender is None or self._sender.done():
            self._sender = loop.create_task(self._send())
        say_unpublished(publication.task_id, judge(await answer, publication.task))

    async def _send(self) -> None:
        if not self._begun:
            self._begun = True
            await anext(self._end)
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            started = time.monotonic()
            while True:
                try:
                    answers = await self._pipelined([publication for publication, _ in batch])
                    break
                except AWAY as error:
                    waited = time.monotonic() - started
                    if waited > RETRY_SECONDS:
                        answers = [failure(self._app, publication.task, waited, error) for publication, _ in batch]
                        break
                    await asyncio.sleep(PAUSE)
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.cancelled():
                    future.set_result(answer)  # an error too: whoever waits judges it

    async def _pipelined(self, publications: list[Publication]) -> list[Any]:
        answers = await self._once(publications)
        if any(isinstance(answer, redis.exceptions.NoScriptError) for answer in answers):
            await self._client.script_load(_PUBLISH.text)
            again = [one for one, answer in zip(publications, answers, strict=True) if isinstance(answer, Exception)]
            repeated = iter(await self._once(again))
            answers = [next(repeated) if isinstance(answer, Exception) else answer for answer in answers]
        return answers

    async def _once(self, publications: list[Publication]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipe:
            for one in publications:
                pipe.execute_command("EVALSHA", _PUBLISH.sha, len(one.keys), *one.keys, *one.arguments)
            return await pipe.execute(raise_on_error=False)

    async def _close_with_loop(self) -> AsyncIterator[None]:
        """A generator that the loop closes at its end (`shutdown_asyncgens`), and the connection with it."""
        try:
            yield
        finally:
            await self._client.aclose(close_connection_pool=True)


def _client_like(client: redis.Redis) -> aio.Redis:
    """A client for a loop with the address and the credentials of a blocking one.

    Raises OperationalError for connections that are neither TCP, TLS nor a unix socket.
    """
    pool = client.connection_pool
    kind = pool.connection_class
    kinds: tuple[tuple[type, type], ...] = (
        (redis.SSLConnection, aio.SSLConnection),
        (redis.UnixDomainSocketConnection, aio.UnixDomainSocketConnection),
        (redis.Connection, aio.Connection),
    )
    found = next((own for blocking, own in kinds if issubclass(kind, blocking)), None)
    if found is None:
        raise OperationalError(
            f"adelay must reach Redis by redis://, rediss:// or a unix socket, not by {kind.__name__}: use delay"
        )
    given = {name: value for name, value in pool.connection_kwargs.items() if name in _KEPT or name.startswith("ssl_")}
    return aio.Redis(connection_pool=aio.ConnectionPool(connection_class=found, **given))
