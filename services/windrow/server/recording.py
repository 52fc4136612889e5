"""The recorder's loop: read the event stream, put batches on record, trim what is on record. The leader runs it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from windrow.broker import events
from windrow.records.recorder import Entry, order
from windrow.server.platform import DATABASE_AWAY, REDIS_AWAY, Backoff, Platform, first, pause

_log = structlog.get_logger(__name__)

BATCH_EVENTS: Final = 2_000
"""A batch is written when it has this many events…"""

BATCH_S: Final = 0.2
"""…or when this much time has passed since its first."""

MOST_EVENTS: Final = 16_000
"""While batches come out full, the next one may have twice as many, up to this: what is behind costs less each."""

MOST_BYTES: Final = 16 * 2**20
"""A batch is also written when its entries have this many bytes. Bytes are counted after each read: two batches and one read
beyond each are in memory at most."""

_READ_ENTRIES: Final = 200
"""Entries of one read at most. Redis reads by number, not by bytes, and an entry may have 8 MiB: this bounds what a read can
bring when large messages follow small ones."""
_READ_BYTES: Final = MOST_BYTES // 4
_FIRST_ENTRIES: Final = 10
_BLOCK_MS: Final = 10_000


async def record(platform: Platform) -> None:
    """Keep the records up to the stream's end while this server leads, until the platform stops."""
    await first(platform.migrated.wait(), platform.stop)
    reader = Reader(platform)
    backoff = Backoff()
    try:
        while not platform.stop.is_set():
            await first(platform.leading.wait(), platform.stop)
            if platform.stop.is_set():
                return
            try:
                await reader.step()
                backoff.reset()
            except DATABASE_AWAY as error:  # redis' own ConnectionError is no OSError
                if platform.database_away is None:
                    _log.warning("PostgreSQL is away; tasks run on, their records come later", error=str(error))
                platform.database_away = str(error) or type(error).__name__
                reader.forget()
                await pause(platform.stop, backoff.seconds())
            except REDIS_AWAY as error:
                _log.debug("the event stream can't be read", error=str(error))
                reader.forget()
                await pause(platform.stop, backoff.seconds())
    finally:
        await reader.close()


class Batch:
    """Entries that are put on record together."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.events = 0
        self.bytes = 0
        """Of the entries' values as they lie in the stream."""


class Reader:
    """Reads the stream from the position on record; the next batch is read while PostgreSQL writes the last."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._stream = platform.client.keys_of.events
        # It waits longer than the server holds a blocking read.
        timeout = _BLOCK_MS / 1000 + 5
        self._redis = Redis.from_url(platform.redis_url, protocol=2, socket_timeout=timeout, socket_connect_timeout=3)
        self._position: str | None = None
        self._ahead: asyncio.Task[Batch] | None = None
        self._limit = BATCH_EVENTS
        self._count = _FIRST_ENTRIES

    def forget(self) -> None:
        """Ask for the position anew before the next read: the last batch may or may not be on record."""
        self._position = None
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead.add_done_callback(_heard)
            self._ahead = None

    async def step(self) -> None:
        """One batch: wait for it, put it on record, trim it. Returns early when the platform stops or the lead is lost."""
        platform = self._platform
        if self._position is None:
            self._position = await self._begin()
        reading = self._ahead or self._read_ahead(self._position)
        batch = await reading
        self._ahead = None
        if not batch.entries or not platform.leading.is_set():
            # Nothing for a while: look afresh whether this is still the stream that the position belongs to.
            self.forget()
            return
        last = batch.entries[-1][0]
        self._ahead = self._read_ahead(last)
        await platform.recorder.apply(batch.entries)
        self._database_is_back()
        self._position = last
        await self._trim(last)

    async def close(self) -> None:
        """Close the connection."""
        ahead = self._ahead
        self.forget()
        if ahead is not None:
            await asyncio.wait([ahead])
        await self._redis.aclose()

    def _read_ahead(self, position: str) -> asyncio.Task[Batch]:
        return asyncio.create_task(self._gather(position), name="reading ahead")

    async def _begin(self) -> str:
        """The position on record; what a crash left between commit and trim is trimmed."""
        recorder = self._platform.recorder
        position = await recorder.position()
        self._database_is_back()
        last = await self._last_made()
        if last is not None and order(last) < order(position):
            # A stream's last id never falls: Redis lost its tail, or is another one with an earlier clock. What is
            # in it may be new; what is on record already counts nothing again, since each final and attempt counts once.
            _log.warning("the event stream ends before what is on record; it is read from its beginning", last=last)
            await recorder.rewind()
            return "0-0"
        await self._trim(position)
        return position

    async def _last_made(self) -> str | None:
        """The last id that the stream gave out; None when it is empty."""
        if not await self._redis.xlen(self._stream):
            return None
        return _text((await self._redis.xinfo_stream(self._stream))["last-generated-id"])

    async def _gather(self, position: str) -> Batch:
        """The next batch: all there is up to its size, and what comes within its time if that is less."""
        batch = Batch()
        more = await self._read(batch, position, block=_BLOCK_MS)
        if batch.entries:
            full = await self._fill(batch, more)
            if not full and not await pause(self._platform.stop, BATCH_S):
                full = await self._fill(batch, more=True)
            self._limit = min(2 * self._limit, MOST_EVENTS) if full else BATCH_EVENTS
        return batch

    async def _fill(self, batch: Batch, more: bool) -> bool:
        """Read on while reads come back full; True when the batch has its size."""
        while batch.events < self._limit and batch.bytes < MOST_BYTES:
            if not more:
                return False
            more = await self._read(batch, batch.entries[-1][0])
        return True

    async def _read(self, batch: Batch, position: str, block: int | None = None) -> bool:
        """Read entries after `position`; True if there may be more. A blocking read ends when the platform stops."""
        count = self._count
        reading = asyncio.ensure_future(self._redis.xread({self._stream: position}, count=count, block=block))
        await first(reading, self._platform.stop, self._platform.deposed)
        answer: Any = [] if reading.cancelled() else reading.result()
        size = found = 0
        for _, entries in answer:
            for entry, fields in entries:
                size += sum(map(len, fields.values()))
                decoded = self._decoded(_text(entry), fields)
                batch.entries.append(decoded)
                batch.events += len(decoded[1])
            found += len(entries)
        batch.bytes += size
        if found:
            # How many are asked for next follows from how big these were: messages may have megabytes.
            self._count = max(1, min(_READ_ENTRIES, 4 * count, _READ_BYTES * found // max(size, 1)))
        return found == count

    def _decoded(self, entry: str, fields: dict[bytes, bytes]) -> Entry:
        try:
            decoded = events.decode(fields)
            if not isinstance(decoded, list):
                raise TypeError(f"an entry's events must be a JSON array, not {type(decoded).__name__}")
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            self._platform.dropped_entries += 1
            _log.error("an entry of the event stream could not be read", entry=entry, error=str(error))
            return entry, []
        return entry, decoded

    async def _trim(self, position: str) -> None:
        ms, _, sequence = position.partition("-")
        await self._redis.xtrim(self._stream, minid=f"{ms}-{int(sequence) + 1}", approximate=False)

    def _database_is_back(self) -> None:
        if self._platform.database_away is not None:
            _log.info("PostgreSQL is back; the records catch up")
            self._platform.database_away = None


def _heard(task: asyncio.Task[Batch]) -> None:
    """What a read found that nobody waits for any more is read again; why it failed is seen then too."""
    if not task.cancelled():
        task.exception()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
