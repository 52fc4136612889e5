"""What the server can say right now: readings, totals and lag, each fetched at most once a second however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar, cast

from windrow.broker import observe
from windrow.broker.observe import QueueReading
from windrow.records import outbox, repository
from windrow.server.exposition import Figures
from windrow.server.platform import DATABASE_AWAY, REDIS_AWAY, Platform

T = TypeVar("T")

FRESH_S: Final = 1.0


class Cached(Generic[T]):
    """The last answer of `fetch`, while it is fresh; those who ask at once share one call. Errors are not kept."""

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._at = float("-inf")

    async def get(self) -> T:
        """The answer, at most a second old. Raises what `fetch` raises."""
        async with self._lock:
            if time.monotonic() - self._at > FRESH_S:
                self._value = await self._fetch()
                self._at = time.monotonic()
            return cast(T, self._value)


class Sources:
    """Where the API and the metrics take their figures from."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.readings = Cached(self._read_queues)
        self.decisions = Cached(self._read_decisions)
        self.totals = Cached(self._read_totals)
        self.lag = Cached(self._read_lag)
        self.outbox = Cached(self._read_outbox)

    async def figures(self) -> Figures:
        """All of them; what can't be read is None."""
        return Figures(
            totals=await _or_none(self.totals.get()),
            readings=await _or_none(self.readings.get()),
            decisions=await _or_none(self.decisions.get()),
            lag_s=(await _or_none(self.lag.get()) or {}).get("seconds"),
            dropped=self._platform.dropped,
            outbox=await _or_none(self.outbox.get()),
        )

    async def _read_queues(self) -> dict[str, QueueReading]:
        def read() -> dict[str, QueueReading]:
            return observe.observe(self._platform.client, self._platform.queues(), time.time())

        return await asyncio.to_thread(read)

    async def _read_decisions(self) -> dict[tuple[str, str], int]:
        return await asyncio.to_thread(observe.decisions, self._platform.client)

    async def _read_totals(self) -> list[tuple[str, str, str, str, int]]:
        async with self._platform.engine.connect() as connection:
            return await repository.totals(connection)

    async def _read_outbox(self) -> outbox.Backlog:
        async with self._platform.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            return await outbox.backlog(raw)

    async def _read_lag(self) -> dict[str, Any]:
        return await asyncio.to_thread(self.read_lag)

    def read_lag(self) -> dict[str, Any]:
        """Entries of the stream that are not on record, and the age of the oldest (s). Raises redis.RedisError; blocks."""
        client, stream = self._platform.client, self._platform.client.keys_of.events
        with client.pipeline(transaction=False) as pipe:
            pipe.xlen(stream)
            pipe.xrange(stream, count=1)
            length, first = pipe.execute()
        if not length or not first:
            return {"entries": 0, "seconds": 0.0}
        made_ms = int(bytes(first[0][0]).split(b"-")[0])
        return {"entries": length, "seconds": round(max(0.0, time.time() - made_ms / 1000), 3)}


async def _or_none(figure: Awaitable[T]) -> T | None:
    try:
        return await figure
    except (*REDIS_AWAY, *DATABASE_AWAY):
        # Left out of the page: a gap in the graph says that it is unknown, a zero would not.
        return None
