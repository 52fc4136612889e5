"""What the server can say right now: readings, totals and lag, each fetched at most once a second however many ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, cast

from windrow.broker import observe
from windrow.broker import standing as said
from windrow.broker.observe import QueueReading
from windrow.broker.standing import Standing
from windrow.records import outbox, partitions, totals
from windrow.server.exposition import Figures
from windrow.server.platform import DATABASE_AWAY, REDIS_AWAY, Platform

T = TypeVar("T")

FRESH_S: Final = 1.0
PATIENCE_S: Final = 5.0
"""A scrape waits no longer for any figure: it must end before Prometheus gives it up (10 s by default)."""
CATALOG_S: Final = 10.0
"""How long what the database's own catalog says is taken as fresh."""


class Cached(Generic[T]):
    """The last answer of `fetch`, while it is fresh; those who ask at once share one call. Errors are not kept."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], fresh_s: float = FRESH_S) -> None:
        self._fetch, self._fresh_s = fetch, fresh_s
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._at = float("-inf")

    async def get(self) -> T:
        """The answer, at most `fresh_s` seconds old. Raises what `fetch` raises."""
        async with self._lock:
            if time.monotonic() - self._at > self._fresh_s:
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
        self.standings = Cached(self._read_standings)
        self.longest = Cached(self._read_longest)
        self.memory = Cached(self._read_memory)
        self.days_ahead = Cached(self._read_days_ahead, CATALOG_S)

    async def figures(self) -> Figures:
        """All of them, asked for at once; what can't be read, or not within `PATIENCE_S`, is None."""
        (totals, waiting, days_ahead, memory), (readings, decisions, lag, standings, longest) = await asyncio.gather(
            asyncio.gather(
                _or_none(self.totals.get()),
                _or_none(self.outbox.get()),
                _or_none(self.days_ahead.get()),
                _or_none(self.memory.get()),
            ),
            asyncio.gather(
                _or_none(self.readings.get()),
                _or_none(self.decisions.get()),
                _or_none(self.lag.get()),
                _or_none(self.standings.get()),
                _or_none(self.longest.get()),
            ),
        )
        return Figures(
            totals=totals,
            readings=readings,
            decisions=decisions,
            lag_s=(lag or {}).get("seconds"),
            dropped=self._platform.dropped,
            outbox=waiting,
            standings=standings,
            longest=longest or {},
            memory=memory,
            days_ahead=days_ahead,
        )

    async def _read_queues(self) -> dict[str, QueueReading]:
        def read() -> dict[str, QueueReading]:
            return observe.observe(self._platform.client, self._platform.queues(), time.time())

        return await asyncio.to_thread(read)

    async def _read_decisions(self) -> dict[tuple[str, str], int]:
        return await asyncio.to_thread(observe.decisions, self._platform.client)

    async def _read_standings(self) -> dict[str, Standing]:
        return await asyncio.to_thread(said.standings, self._platform.client)

    async def _read_longest(self) -> dict[str, float]:
        readings = await self.readings.get()
        workers = {worker.id: worker.queue for reading in readings.values() for worker in reading.workers if worker.busy}
        return await asyncio.to_thread(said.longest_runs, self._platform.client, workers, time.time())

    async def _read_memory(self) -> tuple[int, int]:
        info = cast(dict[str, Any], await asyncio.to_thread(self._platform.client.info, "memory"))
        return int(info["used_memory"]), int(info.get("maxmemory", 0))

    async def _read_days_ahead(self) -> int:
        async with self._platform.engine.connect() as connection:
            return partitions.ahead(await partitions.existing(connection), datetime.now(UTC))

    async def _read_totals(self) -> list[tuple[str, str, str, str, int]]:
        async with self._platform.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            return await totals.read(raw)

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
        async with asyncio.timeout(PATIENCE_S):
            return await figure
    except (*REDIS_AWAY, *DATABASE_AWAY):
        # Left out of the page: a gap in the graph says that it is unknown, a zero would not.
        return None
