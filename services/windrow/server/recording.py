"""The recorder's loop: read the event stream, put batches on record, trim what is on record. The leader runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, Final

import structlog
from redis.asyncio import Redis

from windrow.broker import events
from windrow.records.recorder import Entry, order
from windrow.server.platform import DATABASE_AWAY, REDIS_AWAY, Backoff, Platform, pause

_log = structlog.get_logger(__name__)

BATCH_EVENTS: Final = 2_000
"""A batch is written when it has this many events…"""

BATCH_S: Final = 0.2
"""…or when this much time has passed since its first."""

_READ_ENTRIES: Final = 1_000
_BLOCK_MS: Final = 10_000


async def record(platform: Platform) -> None:
    """Keep the records up to the stream's end while this server leads, until the platform stops."""
    await _first(platform.migrated.wait(), platform.stop)
    reader = Reader(platform)
    backoff = Backoff()
    try:
        while not platform.stop.is_set():
            await _first(platform.leading.wait(), platform.stop)
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


class Reader:
    """Reads the stream from the position on record."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._stream = platform.client.keys_of.events
        # It waits longer than the server holds a blocking read.
        timeout = _BLOCK_MS / 1000 + 5
        self._redis = Redis.from_url(platform.redis_url, protocol=2, socket_timeout=timeout, socket_connect_timeout=3)
        self._position: str | None = None

    def forget(self) -> None:
        """Ask for the position anew before the next read: the last batch may or may not be on record."""
        self._position = None

    async def step(self) -> None:
        """One batch: wait for it, put it on record, trim it. Returns early when the platform stops or the lead is lost."""
        platform = self._platform
        if self._position is None:
            self._position = await self._begin()
        entries = await self._gather(self._position)
        if not entries:
            # Nothing for a while: look afresh whether this is still the stream that the position belongs to.
            self.forget()
        if not entries or not platform.leading.is_set():
            return
        await platform.recorder.apply(entries)
        self._database_is_back()
        self._position = entries[-1][0]
        await self._trim(self._position)

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

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

    async def _gather(self, position: str) -> list[Entry]:
        """The next batch: all there is up to its size, and what comes within its time if that is less."""
        entries = await self._read(position, block=_BLOCK_MS)
        if entries and not await self._fill(entries, len(entries)) and not await pause(self._platform.stop, BATCH_S):
            await self._fill(entries, _READ_ENTRIES)
        return entries

    async def _fill(self, entries: list[Entry], last_read: int) -> bool:
        """Read on while reads come back full; True when the batch has its size."""
        while _size(entries) < BATCH_EVENTS:
            if last_read < _READ_ENTRIES:
                return False
            more = await self._read(entries[-1][0])
            entries += more
            last_read = len(more)
        return True

    async def _read(self, position: str, block: int | None = None) -> list[Entry]:
        """Entries after `position`; a blocking read ends when the platform stops."""
        reading = asyncio.ensure_future(self._redis.xread({self._stream: position}, count=_READ_ENTRIES, block=block))
        await _first(reading, self._platform.stop, self._platform.deposed)
        answer: Any = [] if reading.cancelled() else reading.result()
        return [self._decoded(_text(entry), fields) for _, found in answer for entry, fields in found]

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


async def _first(awaited: Awaitable[Any], *ends: asyncio.Event) -> None:
    """Wait for `awaited`, or for one of `ends` to be set; then what was awaited is cancelled."""
    own = asyncio.ensure_future(awaited)
    others = [asyncio.ensure_future(end.wait()) for end in ends]
    try:
        await asyncio.wait([own, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (own, *others):
            task.cancel()
        await asyncio.wait([own, *others])


def _size(entries: list[Entry]) -> int:
    return sum(len(decoded) for _, decoded in entries)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
