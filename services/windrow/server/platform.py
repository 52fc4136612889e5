"""What the server's parts share: how to reach Redis and PostgreSQL, who leads, and what is away right now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import asyncpg
import redis
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from windrow.broker import observe, pressure
from windrow.broker.client import Client
from windrow.records.recorder import Recorder

DATABASE_AWAY: Final = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What the database and the ways to it raise when a statement can't be run now."""

REDIS_AWAY: Final = (redis.RedisError, OSError)

QUEUES_EVERY_S: Final = 60.0
"""How often Redis is searched for queues that nobody told of."""


@dataclass
class Platform:
    """The state of one server process; written on its event loop, and by the leader's tick."""

    client: Client
    engine: AsyncEngine
    recorder: Recorder
    redis_url: str
    max_recoveries: Mapping[str, int]
    """By queue, from the specs; their queues are always shown."""
    most_events: int = pressure.MOST
    """How many entries of the event stream may wait for the recorder before details are left out."""
    token: str = ""
    """What this server leads with: the value of `windrow:leader` while it does."""
    outboxes: tuple[AsyncEngine, ...] = ()
    """Other databases with an outbox."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    leading: asyncio.Event = field(default_factory=asyncio.Event)
    deposed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever `leading` is not, so that either can be waited for."""
    migrated: asyncio.Event = field(default_factory=asyncio.Event)
    redis_away: str | None = None
    """Why Redis can't be used now; None when it can."""
    database_away: str | None = None
    dropped_entries: int = 0
    """Stream entries that could not be read."""
    address: str = ""
    """`host:port` that this server listens at."""
    advertised: str = ""
    """`host:port` that workers are told to reach it at."""
    _queues: frozenset[str] = frozenset()
    _queues_at: float = float("-inf")

    def lead(self, leads: bool) -> None:
        """Note whether this server leads."""
        (self.leading.set if leads else self.leading.clear)()
        (self.deposed.clear if leads else self.deposed.set)()

    def queues(self) -> list[str]:
        """Every queue there is: the specs', the published to, the bound, the served. Raises redis.RedisError; blocks."""
        now = time.monotonic()
        if now - self._queues_at > QUEUES_EVERY_S:
            self._queues = frozenset(observe.known_queues(self.client))
            self._queues_at = now
        told = {name.decode() for name in cast(set[bytes], self.client.smembers(self.client.keys_of.queues))}
        return sorted(self._queues | told | self.max_recoveries.keys())

    @property
    def dropped(self) -> int:
        """Events and entries that could not be recorded since this process started."""
        return self.recorder.dropped + self.dropped_entries


async def pause(stop: asyncio.Event, seconds: float) -> bool:
    """Wait `seconds`, or until `stop` is set; True if it is."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


async def first(awaited: Awaitable[Any], *ends: asyncio.Event) -> None:
    """Wait for `awaited`, or for one of `ends` to be set; then what was awaited is cancelled."""
    own = asyncio.ensure_future(awaited)
    others = [asyncio.ensure_future(end.wait()) for end in ends]
    try:
        await asyncio.wait([own, *others], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (own, *others):
            task.cancel()
        await asyncio.wait([own, *others])


class Backoff:
    """Growing pauses after failures in a row, from `first` to `most` seconds."""

    def __init__(self, first: float = 0.2, most: float = 5.0) -> None:
        self._first, self._most, self._next = first, most, first

    @property
    def begun(self) -> bool:
        """Whether the last try failed."""
        return self._next != self._first

    def reset(self) -> None:
        """The last try went well."""
        self._next = self._first

    def seconds(self) -> float:
        """The next pause."""
        seconds, self._next = self._next, min(self._next * 2, self._most)
        return seconds
