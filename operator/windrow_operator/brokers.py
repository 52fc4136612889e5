"""The Redis servers that the queues are on: the platform's, and those that specs name by a Secret.

Each is read with one call for all its queues, in a thread, so a Redis that hangs keeps nobody else waiting. A URL is never
logged or told: it may hold a password.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple, Protocol, TypeVar

import redis
import structlog

from windrow.broker.client import Client, connect
from windrow.broker.observe import QueueReading, held
from windrow_operator.watched import Entry

ANSWER_SECONDS = 2.0
"""How long an answer of Redis is waited for."""
PATIENCE_SECONDS = 5.0
"""So long after the last good reading a Redis counts as stale, not as unreadable: a failover starts no pods."""
SECRET_SECONDS = 60.0
"""How often a Secret is read anew."""
SECRET_AGAIN_SECONDS = 5.0
"""How soon, when it could not be read, or when Redis does not answer at what it says."""
URL_KEY = "REDIS_URL"

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class Place(NamedTuple):
    """Which Redis: the platform's (both empty), or the one that a namespace's Secret names."""

    namespace: str = ""
    secret: str = ""

    @classmethod
    def of(cls, entry: Entry) -> Place:
        """Where an entry's queue is."""
        connection = entry.spec.spec.connection if entry.spec is not None else None
        return cls() if connection is None else cls(entry.key.namespace, connection.secret_ref.name)

    def __str__(self) -> str:
        return f"Secret {self.namespace}/{self.secret}" if self.secret else "the platform's Redis"


class Secrets(Protocol):
    """Where Secrets are read."""

    async def secret(self, namespace: str, name: str) -> dict[str, str]:
        """A Secret's data, decoded. Raises an error whose text is one sentence."""


class Read(NamedTuple):
    """What one look at a Redis gave."""

    at: float
    """When; the same time twice is the same reading twice."""
    queues: dict[str, QueueReading] | None
    """Those of the queues that hold anything; None: unreadable."""
    fault: str | None
    """Why it can't be read now, in one sentence; `queues` are then an earlier look's."""


class Broker:
    """One Redis, which may be away, and whose address may change."""

    def __init__(self, place: Place, url: str | None, key_prefix: str, secrets: Secrets, executor: Executor) -> None:
        """`url` is None where a Secret has it."""
        self.place = place
        self._url, self._prefix, self._secrets, self._executor = url, key_prefix, secrets, executor
        self._client: Client | None = None
        self._looked = -SECRET_SECONDS
        self._failed = False
        self._last: Read | None = None
        self._began = time.monotonic()
        self._answered: float | None = None
        self._fault: str | None = None

    async def read(self, queues: Sequence[str]) -> Read | None:
        """What they hold; None before Redis has answered for the first time, for as long as patience lasts."""
        try:
            client = await self._connected()
            at = time.time()
            found = await self._in_thread(lambda: held(client, queues, at))
        except _Unreadable as error:
            return self._blind(str(error))
        except (redis.RedisError, OSError, TimeoutError) as error:
            return self._blind(f"{self.place} can't be read: {_text(error)}")
        except Exception as error:  # what the script answers is other people's data too  # noqa: BLE001
            return self._blind(f"what {self.place} holds can't be read ({type(error).__name__})")
        if self._fault is not None:
            _log.info("Redis answers again", place=str(self.place))
        self._fault, self._failed, self._answered = None, False, time.monotonic()
        self._last = Read(at, found, None)
        return self._last

    async def do(self, work: Callable[[Client], _T]) -> _T:
        """Let it do something, within the same time. Raises redis.RedisError, OSError and TimeoutError."""
        client = await self._connected()
        return await self._in_thread(lambda: work(client))

    def close(self) -> None:
        """Let go of its connections."""
        if self._client is not None:
            self._client.close()

    def _blind(self, fault: str) -> Read | None:
        if self._fault != fault:
            _log.warning("Redis can't be read", place=str(self.place), fault=fault)
        self._fault, self._failed = fault, True
        since = self._answered if self._answered is not None else self._began
        if time.monotonic() - since < PATIENCE_SECONDS:
            return None if self._last is None else self._last._replace(fault=fault)
        return Read(time.time(), None, fault)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        # Redis' own time-outs end the thread's work a little earlier; what hangs all the same is left to itself.
        loop = asyncio.get_running_loop()
        return await asyncio.wait_for(loop.run_in_executor(self._executor, work), 2 * ANSWER_SECONDS)

    async def _connected(self) -> Client:
        if self.place.secret:
            again = SECRET_AGAIN_SECONDS if self._failed else SECRET_SECONDS
            if time.monotonic() - self._looked >= again:
                self._looked = time.monotonic()
                await self._look_up()
        if self._client is None:
            if self._url is None:
                raise _Unreadable(self._fault or f"{self.place} was not read yet")
            try:
                self._client = connect(self._url, timeout=ANSWER_SECONDS, key_prefix=self._prefix)
            except ValueError:  # its text may repeat a part of the URL
                raise _Unreadable(f"{URL_KEY} of {self.place} must be a redis:// or rediss:// URL") from None
        return self._client

    async def _look_up(self) -> None:
        try:
            url = (await self._secrets.secret(self.place.namespace, self.place.secret)).get(URL_KEY)
        except Exception as error:  # whatever the API server's client raises  # noqa: BLE001
            if self._client is None:
                raise _Unreadable(f"{self.place} can't be read: {_text(error)}") from None
            _log.warning("Secret can't be read", place=str(self.place), error=_text(error))
            return
        if url is None:
            raise _Unreadable(f"{self.place} must have the key {URL_KEY}")
        if url != self._url:
            self.close()
            self._client, self._url = None, url


class Brokers:
    """All of them, made when first asked for."""

    def __init__(self, url: str | None, key_prefix: str, secrets: Secrets) -> None:
        """`url` is the platform's; None when there is none."""
        self._url, self._prefix, self._secrets = url, key_prefix, secrets
        # The platform's own never waits for others that hang.
        self._own = ThreadPoolExecutor(4, "redis")
        self._others = ThreadPoolExecutor(16, "redis-of-secrets")
        self._brokers: dict[Place, Broker] = {}

    def at(self, place: Place) -> Broker:
        """The Redis of this place."""
        if place not in self._brokers:
            own = not place.secret
            executor = self._own if own else self._others
            self._brokers[place] = Broker(place, self._url if own else None, self._prefix, self._secrets, executor)
        return self._brokers[place]

    def keep(self, places: Iterable[Place]) -> None:
        """Forget all others."""
        for place in self._brokers.keys() - set(places):
            self._brokers.pop(place).close()

    def close(self) -> None:
        """Let go of everything."""
        self.keep(())
        for executor in (self._own, self._others):
            executor.shutdown(wait=False, cancel_futures=True)


class _Unreadable(Exception):
    """It can't be read for a reason of our own, in one sentence."""


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or f"no answer within {ANSWER_SECONDS:g} s"
