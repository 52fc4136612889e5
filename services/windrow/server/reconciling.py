"""The reconciler: rebuilds from the records what Redis has lost. The leader runs it.

It compares when Redis has or may have lost data, and looks for suspects every few minutes. That a message is nowhere is proved
before it is put back: two passes over all that Redis holds, then the records caught up with all that was told until then, and
an execution that is still unfinished, was in neither pass, and of which nothing was told meanwhile.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import asyncpg
import redis
import structlog
from redis.asyncio import Redis

from windrow.broker import presence
from windrow.broker.scripts import load
from windrow.records import clean, unfinished
from windrow.records.recorder import order
from windrow.server import absence, chords
from windrow.server.absence import Broker
from windrow.server.platform import DATABASE_AWAY, REDIS_AWAY, Backoff, Platform, first, pause
from windrow.server.rebuilding import Rebuilder, Rebuilt

_log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
"""How often the reconciler looks whether this is still the Redis that the records were compared with."""
QUIET_S: Final = 10.0
"""So long after a loss was seen nothing is rebuilt: a worker that is cut off ends what it runs within its lease of 8 s."""
SUSPECTS_EVERY_S: Final = 300.0
CATCH_UP_S: Final = 120.0
"""How long the records may take to catch up before a comparison is given up and begun again."""

_INSIST: Final = load("insist")


class Behind(Exception):
    """The comparison can't be finished now; it is begun again."""


async def reconcile(platform: Platform) -> None:
    """Compare the records with Redis when that is called for, while this server leads, until the platform stops."""
    await first(platform.migrated.wait(), platform.stop)
    reconciler = Reconciler(platform)
    backoff = Backoff(1.0, 30.0)
    try:
        while not platform.stop.is_set():
            await first(platform.leading.wait(), platform.stop)
            if platform.stop.is_set():
                return
            try:
                watching = asyncio.create_task(reconciler.watch(backoff))
                await first(watching, platform.stop, platform.deposed)
                if not watching.cancelled():
                    watching.result()
            except (*DATABASE_AWAY, *REDIS_AWAY, Behind) as error:
                _log.debug("the comparison of records and Redis waits", error=str(error).split("\n")[0])
                await pause(platform.stop, backoff.seconds())
    finally:
        await reconciler.close()


class Reconciler:
    """Watches one Redis, and compares."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._keys = platform.client.keys_of
        self._stream = self._keys.events
        self._redis = Redis.from_url(platform.redis_url, protocol=2, socket_timeout=10, socket_connect_timeout=3)
        self._next_suspects = time.monotonic() + SUSPECTS_EVERY_S

    async def watch(self, backoff: Backoff) -> None:
        """Look each second, and compare when Redis may have lost data. Ends by an exception alone."""
        noticed: float | None = None
        async with self._connection() as connection:
            known = await unfinished.known_broker(connection, self._stream)
            while True:
                recorded = order(await self._platform.recorder.position())
                found = await self._broker()  # after the position: the stream goes on
                backoff.reset()
                reason = absence.loss(known, found, recorded)
                if reason is None:
                    if time.monotonic() >= self._next_suspects:
                        await self._look_for_suspects(connection)
                        self._next_suspects = time.monotonic() + SUSPECTS_EVERY_S
                elif noticed is None:
                    noticed = time.monotonic()
                    if known is not None:
                        _log.warning("Redis may have lost data; the records are compared with it", reason=reason)
                elif await self._is_quiet(noticed, known is not None):
                    await self._rebuild_chords()  # before the parts that are put back can end
                    made = await self.compare(connection, everything=True)
                    known = await self._settle(connection, found)
                    noticed = None
                    _tell(made)
                await asyncio.sleep(LOOK_S)

    async def compare(self, connection: asyncpg.Connection, *, everything: bool) -> Rebuilt:
        """Prove for each unfinished execution (or only those with a kept message) where it is, and put back what is nowhere."""
        # An execution's message waits on the queue that its record names; others need not be looked at, nor may be allowed.
        queues = await unfinished.queues(connection)
        rebuilder = Rebuilder(self._platform, self._redis)
        while more := await self._compare(connection, queues, rebuilder, everything=everything):
            queues |= more
        return rebuilder.made

    async def _compare(
        self, connection: asyncpg.Connection, queues: set[str], rebuilder: Rebuilder, *, everything: bool
    ) -> set[str]:
        """Compare what is on these queues; queues that turned up and are none of them."""
        recorder = self._platform.recorder
        seen: set[int] = set()
        told: set[int] = set()
        others: set[str] = set()
        recorder.told = told
        try:
            for _ in range(2):
                await presence.look(self._redis, self._keys, queues, seen)
            await self._caught_up()
            async for page in unfinished.pages(connection, everything=everything):
                absent = [one for one in page if (short := clean.short(one.id)) not in seen and short not in told]
                others.update(one.queue for one in absent if one.queue not in queues)
                await rebuilder.rebuild(connection, [one for one in absent if one.queue in queues])
            return others
        finally:
            recorder.told = None

    async def close(self) -> None:
        """Close the connection to Redis."""
        await self._redis.aclose()

    async def _is_quiet(self, noticed: float, had: bool) -> bool:
        """Whether workers have put back what they hold, and those that can't have ended what they run."""
        if had and time.monotonic() - noticed < QUIET_S:
            return False
        return not await self._redis.exists(self._keys.settling)

    async def _broker(self) -> Broker:
        try:
            run = (await self._redis.info("server")).get("run_id")
        except redis.exceptions.NoPermissionError:
            run = None  # the marker and the stream still tell
        marker = cast(bytes | None, await self._redis.get(self._keys.marker))
        last = b"0-0"
        if await self._redis.exists(self._stream):
            last = (await self._redis.xinfo_stream(self._stream))["last-generated-id"]
        return Broker(run, marker.decode() if marker else None, order(last.decode()))

    async def _caught_up(self) -> None:
        """Wait until all that was told until now is on record: the recorder trims what is."""
        last = (await self._broker()).last
        deadline = time.monotonic() + CATCH_UP_S
        while time.monotonic() < deadline:
            entries: Any = await self._redis.xrange(self._stream, count=1)
            if not entries or order(entries[0][0].decode()) > last:
                return
            await asyncio.sleep(0.05)
        raise Behind(f"the records must catch up within {CATCH_UP_S:.0f} s")

    async def _settle(self, connection: asyncpg.Connection, found: Broker) -> tuple[str | None, str]:
        """Mark this Redis as compared. Should it lose the mark, it may have lost more."""
        marker = found.marker or secrets.token_hex(8)
        await self._redis.eval(_INSIST.text, 1, self._keys.marker, "SET", marker)
        await unfinished.remember_broker(connection, self._stream, found.run, marker)
        return found.run, marker

    async def _look_for_suspects(self, connection: asyncpg.Connection) -> None:
        """Compare if an execution's message is not where it would be."""
        queues = await unfinished.queues(connection)
        oldest = await presence.oldest(self._redis, self._keys, queues)
        in_flight: set[int] = set()
        await presence.look_in_flight(self._redis, self._keys, in_flight)
        workers = {name.decode() for name in cast(list[bytes], await self._redis.hkeys(self._keys.epochs))}
        now = time.time()
        async for page in unfinished.pages(connection, everything=False):
            if any(absence.is_suspect(one, now, oldest, in_flight, workers) for one in page):
                made = await self.compare(connection, everything=False)
                if made.total:
                    _log.warning("messages were nowhere in Redis, though nothing says that it lost data")
                    _tell(made)
                return

    async def _rebuild_chords(self) -> None:
        count = await chords.rebuild(self._platform)
        if count:
            _log.info("chords were rebuilt", chords=count)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._platform.engine.connect() as pooled:
            raw: Any = (await pooled.get_raw_connection()).driver_connection
            try:
                yield raw
            except BaseException:
                await pooled.invalidate()
                raise


def _tell(made: Rebuilt) -> None:
    if made.total:
        _log.warning("what Redis had lost is rebuilt", rebuilt=made.rebuilt, lost=made.lost)
    else:
        _log.info("the records and Redis agree")
