"""Which executions' messages are in Redis: one pass over the lists, the delayed sets, the quarantines and what workers hold.

A pass reads each message once, in pieces, and keeps 8 bytes of each execution's id. It is no snapshot: what moves while it
reads may be missed, so whoever wants to know that a message is nowhere looks twice, and heeds what is told meanwhile.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, cast

from redis.asyncio import Redis

from windrow.broker.keys import PRIORITY_STEPS, Keys

AT_ONCE: Final = 200
"""Messages of one read."""
_ID: Final = re.compile(rb'"windrow": ?\{[^{}]*?"id": ?"([0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12})"')
_HELD: Final = re.compile(rb"^([0-9])([^\n]*)\n")


def short_ids(message: bytes) -> list[int]:
    """The random halves of the execution ids that a message's headers name; mostly one, none for a stranger's."""
    return [int(found[19:].replace(b"-", b""), 16) for found in _ID.findall(message)]


async def look(redis: Redis, keys: Keys, queues: Iterable[str], seen: set[int]) -> None:
    """Add to `seen` what is found, in the order in which messages mostly move. Raises redis.RedisError."""
    names = list(queues)
    for queue in names:
        async for value in _hash(redis, keys.delayed_messages(queue)):
            seen.update(short_ids(value))
    for queue in names:
        for key in (*keys.ready(queue), keys.quarantine(queue)):
            async for value in _list(redis, key):
                seen.update(short_ids(value))
    await look_in_flight(redis, keys, seen)


async def look_in_flight(redis: Redis, keys: Keys, seen: set[int]) -> None:
    """Add what workers hold. Raises redis.RedisError."""
    async for key in redis.scan_iter(match=_literal(keys.inflight("")) + "*", count=1000):
        for value in cast(list[bytes], await redis.hvals(key)):
            seen.update(short_ids(value))


async def oldest(redis: Redis, keys: Keys, queues: Iterable[str]) -> dict[tuple[str, int], float | None]:
    """By queue and priority step, when the message that is taken next was accepted; None where the list is empty.

    A message that doesn't tell counts as accepted in 1970.
    """
    steps = [(queue, step) for queue in queues for step in PRIORITY_STEPS]
    async with redis.pipeline(transaction=False) as pipe:
        for queue, step in steps:
            pipe.lindex(keys.step(queue, step), -1)
        found = await pipe.execute()
    return {where: None if message is None else _accepted(message) for where, message in zip(steps, found, strict=True)}


def _accepted(message: bytes) -> float:
    try:
        return float(json.loads(message)["headers"]["windrow"]["t"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0.0


async def _list(redis: Redis, key: str) -> AsyncIterator[bytes]:
    """A list from its head on: what is pushed meanwhile moves messages to where they are read later, and none away."""
    start = 0
    while found := cast(list[bytes], await redis.lrange(key, start, start + AT_ONCE - 1)):
        for value in found:
            yield value
        start += AT_ONCE


async def _hash(redis: Redis, key: str) -> AsyncIterator[bytes]:
    cursor: Any = 0
    while True:
        cursor, found = await redis.hscan(key, cursor, count=AT_ONCE)
        for value in cast(dict[bytes, bytes], found).values():
            yield value
        if not cursor:
            return


def _literal(text: str) -> str:
    """`text` as a pattern of Redis that matches itself alone."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
