"""The leader's duties once a second, in a thread: hold the lead, recover, send due tasks on. No database is needed."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from windrow.broker import delayed, pressure
from windrow.broker.leader import Leadership
from windrow.broker.recovery import Recovery
from windrow.server.platform import REDIS_AWAY, Platform, pause
from windrow.server.word import Word

_log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
DUE_EVERY_S: Final = 0.05
"""The least time between two looks at what is due."""
BOUND_EVERY_S: Final = 60.0
"""How often the bound of the event stream is told again: a Redis that was emptied has forgotten it."""


async def lead(platform: Platform, leadership: Leadership, duties: Duties, word: Word) -> None:
    """Hold the lead, or wait for it, until the platform stops; then let another server lead at once."""
    due = time.monotonic()
    while not platform.stop.is_set():
        try:
            asked = time.monotonic()
            leads = await asyncio.to_thread(leadership.hold, platform.advertised, word.secret)
            _note_lead(platform, leads)
            if not leads:
                word.lost()
            else:
                word.held(await asyncio.to_thread(leadership.others), asked)
                await asyncio.to_thread(duties.tick)
            if platform.redis_away is not None:
                _log.info("Redis is back")
                platform.redis_away = None
        except REDIS_AWAY as error:
            if platform.redis_away is None:
                _log.warning("Redis is away; trying again", error=str(error))
            platform.redis_away = str(error) or type(error).__name__
        due = max(due + TICK_S, time.monotonic())
        await _between(platform, duties.delays, due)
    if platform.leading.is_set():
        platform.lead(False)
        word.lost()
        try:
            await asyncio.to_thread(leadership.resign)
        except REDIS_AWAY as error:
            _log.warning("could not resign; another server leads when the lease has run out", error=str(error))


async def _between(platform: Platform, delays: delayed.Delays, until: float) -> None:
    """Wait for the next tick, at `until` (monotonic seconds); what becomes due before it is sent on at its time."""
    while not platform.stop.is_set() and (rest := until - time.monotonic()) > 0:
        next_due = delays.next_due if platform.leading.is_set() and platform.redis_away is None else None
        wait = rest if next_due is None else max(next_due - time.time(), DUE_EVERY_S)
        await pause(platform.stop, min(wait, rest))
        if wait < rest:
            try:
                await asyncio.to_thread(delays.again, time.time())
            except REDIS_AWAY:
                continue  # the next tick says so


class Duties:
    """What only the leader does in Redis."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.recovery = Recovery(platform.client, platform.max_recoveries)
        self.delays = delayed.Delays(platform.client)
        self._bound_again = 0.0

    def tick(self) -> None:
        """Give back what dead workers held, and send due tasks to their queues. Raises redis.RedisError; blocks."""
        if time.monotonic() >= self._bound_again:
            pressure.set_most(self._platform.client, self._platform.most_events)
            self._bound_again = time.monotonic() + BOUND_EVERY_S
        self.recovery.tick(time.monotonic())
        self.delays.look(self._platform.queues(), time.time())


def _note_lead(platform: Platform, leads: bool) -> None:
    if leads and not platform.leading.is_set():
        _log.info("this server leads")
        platform.lead(True)
    elif not leads and platform.leading.is_set():
        _log.warning("another server leads now")
        platform.lead(False)
