"""The dispatcher: puts on their queues the calls that transactions have accepted. The leader runs it.

A row is published under a lock, and marked; the recorder deletes it in the transaction that puts its acceptance on record. So
wherever this is killed, the same message with the same ids is published again, which workers refuse as a copy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg
import structlog
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from windrow.broker import events
from windrow.broker.keys import Keys
from windrow.broker.publication import Publication, kept_publication
from windrow.broker.scripts import load
from windrow.records import outbox, retention
from windrow.server.platform import DATABASE_AWAY, REDIS_AWAY, Backoff, Platform, first, pause

_log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
"""Rows of one transaction…"""
BYTES_AT_ONCE: Final = 16 * 2**20
"""…and bytes of their messages."""
LOOK_S: Final = 1.0
"""PostgreSQL tells of each commit; this is how long the dispatcher waits when it doesn't."""
UNHEARD_S: Final = 5.0
"""What was published longer ago than the oldest event that is not on record, and this, is published again."""
_KEYS_EVERY_S: Final = 3_600.0

_PUBLISH = load("publish")


async def dispatch(platform: Platform) -> None:
    """Publish what the outboxes hold while this server leads, until the platform stops."""
    await first(platform.migrated.wait(), platform.stop)
    own = Dispatcher(platform)
    parts = [_keep(platform, own), *(_keep(platform, Forwarder(platform, engine)) for engine in platform.outboxes)]
    try:
        await asyncio.gather(*parts)
    finally:
        await own.close()


async def _keep(platform: Platform, part: Dispatcher | Forwarder) -> None:
    """Run a part while this server leads; when something is away, again after a while."""
    backoff = Backoff()
    said = False
    while not platform.stop.is_set():
        await first(platform.leading.wait(), platform.stop)
        if platform.stop.is_set():
            return
        try:
            await part.run(backoff)
            said = False
        except (*DATABASE_AWAY, *REDIS_AWAY) as error:
            if not said or not backoff.begun:
                _log.warning("the outbox waits", outbox=part.name, error=str(error).split("\n")[0])
            said = True
            await pause(platform.stop, backoff.seconds())


class _Listening:
    """A connection out of an engine's pool that hears of commits to its outbox."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.rung = asyncio.Event()

    async def __aenter__(self) -> asyncpg.Connection:
        self._pooled = await self._engine.connect()
        try:
            raw: Any = (await self._pooled.get_raw_connection()).driver_connection
            await raw.add_listener(outbox.CHANNEL, self._ring)
        except BaseException:
            await self._end()
            raise
        return raw

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def _end(self) -> None:
        # Not given back to the pool: it listens, and may have been left in a transaction.
        with suppress(*DATABASE_AWAY):
            await self._pooled.invalidate()
        with suppress(*DATABASE_AWAY):
            await self._pooled.close()

    def _ring(self, *_: object) -> None:
        self.rung.set()

    async def wait(self, platform: Platform) -> None:
        """Wait for a commit, a second, or the end of leading."""
        if not self.rung.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(first(self.rung.wait(), platform.stop, platform.deposed), LOOK_S)
        self.rung.clear()


async def _serve(
    platform: Platform,
    engine: AsyncEngine,
    backoff: Backoff,
    step: Callable[[asyncpg.Connection], Awaitable[int]],
    chore: Callable[[asyncpg.Connection], Awaitable[None]],
    every_s: float,
) -> None:
    """Take steps while there is something to do, and a chore every so often, until the lead is lost or the platform stops."""
    listening = _Listening(engine)
    async with listening as connection:
        done = float("-inf")
        while platform.leading.is_set() and not platform.stop.is_set():
            if time.monotonic() - done >= every_s:
                await chore(connection)
                done = time.monotonic()
            found = await step(connection)
            backoff.reset()
            if not found:
                await listening.wait(platform)


class Dispatcher:
    """Publishes the platform's own outbox."""

    name = "the platform's"

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._keys = platform.client.keys_of
        self._redis = Redis.from_url(platform.redis_url, protocol=2, socket_timeout=5, socket_connect_timeout=3)

    async def run(self, backoff: Backoff) -> None:
        """Until the lead is lost or the platform stops; raises what an absent database or Redis raises."""
        await _serve(self._platform, self._platform.engine, backoff, self.step, self._look_again, LOOK_S)

    async def step(self, connection: asyncpg.Connection) -> int:
        """Publish one batch; says how many rows it had."""
        async with connection.transaction():
            rows = await outbox.claim(connection, AT_ONCE, BYTES_AT_ONCE)
            if not rows:
                return 0
            calls: list[Publication] = []
            refused: list[events.Event] = []
            for row in rows:
                try:
                    calls.append(_publication(row, self._keys))
                except ValueError as error:
                    refused.append(_rejected(row, error))
            waiting = await self._publish(calls, refused)
            done = [row.execution_id for row in rows if str(row.execution_id) not in waiting]
            await outbox.mark(connection, done)
        return len(done)

    async def close(self) -> None:
        """Close the connection to Redis."""
        await self._redis.aclose()

    async def _publish(self, calls: Sequence[Publication], refused: Sequence[events.Event]) -> set[str]:
        """Put them into Redis; the executions that it takes no more of for now."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.execute_command("SCRIPT", "LOAD", _PUBLISH.text)
            for one in calls:
                pipe.execute_command("EVALSHA", _PUBLISH.sha, len(one.keys), *one.keys, *one.arguments)
            for event in refused:
                pipe.xadd(self._keys.events, events.fields(event))  # type: ignore[arg-type]  # invariant in redis-py
            answers = await pipe.execute()
        return {one.execution for one, answer in zip(calls, answers[1:], strict=False) if answer < 0}

    async def _look_again(self, connection: asyncpg.Connection) -> None:
        """What was published and did not come on record, though all that was told since did: Redis has lost it."""
        behind = await self._behind()
        count = await outbox.offer_again(connection, behind + UNHEARD_S)
        if count:
            _log.warning("published calls never came on record; they are published again", calls=count)

    async def _behind(self) -> float:
        """The age of the oldest event that may not be on record yet, seconds by Redis' own clock."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.xrange(self._keys.events, count=1)
            now, entries = await pipe.execute()
        if not entries:
            return 0.0
        made = int(bytes(entries[0][0]).split(b"-")[0]) / 1000
        age: float = float(now[0]) + float(now[1]) / 1e6 - made
        return max(0.0, age)


class Forwarder:
    """Moves the outbox of another database into the platform's."""

    def __init__(self, platform: Platform, engine: AsyncEngine) -> None:
        self._platform, self._engine = platform, engine
        self.name = f"{engine.url.database} on {engine.url.host or 'a local socket'}"

    async def run(self, backoff: Backoff) -> None:
        """Until the lead is lost or the platform stops; raises what an absent database raises."""
        await _serve(self._platform, self._engine, backoff, self.step, self._forget_keys, _KEYS_EVERY_S)

    async def _forget_keys(self, connection: asyncpg.Connection) -> None:
        await outbox.forget_keys(connection, datetime.now(UTC).date(), retention.DAYS)

    async def step(self, connection: asyncpg.Connection) -> int:
        """Move one batch: into the platform's outbox, and only then out of this one; says how many rows it had."""
        async with connection.transaction():
            rows = await outbox.claim(connection, AT_ONCE, BYTES_AT_ONCE)
            if not rows:
                return 0
            async with self._platform.engine.begin() as pooled:
                raw: Any = (await pooled.get_raw_connection()).driver_connection
                await outbox.adopt(raw, rows)
            await outbox.drop(connection, [row.execution_id for row in rows])
        return len(rows)


def _publication(row: outbox.Waiting, keys: Keys) -> Publication:
    made = kept_publication(row.body.decode(), row.queue, keys)
    if made.execution != str(row.execution_id):
        raise ValueError(f"a row of the outbox must hold the message of its own execution, not of {made.execution}")
    return made


def _rejected(row: outbox.Waiting, error: ValueError) -> events.Event:
    """The event of a row that is no message: its record is made from this alone, and takes it out of the outbox."""
    return {
        "k": events.ENDED, "id": str(row.execution_id), "t": time.time(), "attempt": None, "outcome": None,
        "state": "rejected", "queue": row.queue, "task": row.task, "task_id": row.task_id, "reason": str(error)[:1024],
        "durable": True,
    }  # fmt: skip
