"""Putting back what is proved to be nowhere: each execution by one atomic step."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg
from redis.asyncio import Redis

from windrow.broker import events
from windrow.broker.keys import step_of, stored
from windrow.broker.scripts import load
from windrow.records import states, unfinished
from windrow.records.unfinished import Unfinished
from windrow.server import absence
from windrow.server.absence import Lose, Rebuild
from windrow.server.platform import Platform

BYTES_AT_ONCE: Final = 8 * 2**20
"""Of the messages that are put back by one pipeline."""

_REBUILD = load("rebuild")

REFUSED: Final = -1


class NotNow(ConnectionError):
    """Another server leads, or Redis has lost data again: the comparison must be begun anew."""


@dataclass
class Rebuilt:
    """What a comparison has put right."""

    rebuilt: int = 0
    lost: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.rebuilt + self.lost


class Rebuilder:
    """Puts back, or ends, executions that are nowhere in Redis."""

    def __init__(self, platform: Platform, redis: Redis) -> None:
        self.made = Rebuilt()
        self._keys = platform.client.keys_of
        self._token = platform.token
        self._redis = redis

    async def rebuild(self, connection: asyncpg.Connection, absent: Sequence[Unfinished]) -> None:
        """Do it for one page. Raises NotNow, and what an absent database or Redis raises."""
        if not absent:
            return
        by_id = {one.id: one for one in absent}
        running = [one.id for one in absent if one.state == states.RUNNING]
        attempts = await unfinished.open_attempts(connection, running) if running else {}
        without = dict(by_id)
        async for group in unfinished.kept(connection, list(by_id), BYTES_AT_ONCE):
            for identity in group:
                del without[identity]
            await self._send([(by_id[identity], attempts.get(identity), *what) for identity, what in group.items()])
        await self._send([(one, attempts.get(one.id), one.queue, b"") for one in without.values()])

    async def _send(self, found: Sequence[tuple[Unfinished, tuple[UUID, bool] | None, str, bytes]]) -> None:
        if not found:
            return
        now = time.time()
        counted: list[bool] = []
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.execute_command("SCRIPT", "LOAD", _REBUILD.text)
            for execution, attempt, queue, body in found:
                early = attempt is not None and attempt[1]
                what = absence.verdict(execution, early=early, is_kept=bool(body), now=now)
                counted.append(isinstance(what, Rebuild))
                keys, arguments = self._call(execution, attempt[0] if attempt else None, queue, body, what, now)
                pipe.execute_command("EVALSHA", _REBUILD.sha, len(keys), *keys, *arguments)
            answers = (await pipe.execute())[1:]
        for rebuilt, answer in zip(counted, answers, strict=True):
            if answer == REFUSED:
                raise NotNow("another server leads, or workers put back what Redis has lost")
            self.made.rebuilt += answer == 1 and rebuilt
            self.made.lost += answer == 1 and not rebuilt

    def _call(
        self, execution: Unfinished, attempt: UUID | None, queue: str, body: bytes, what: Rebuild | Lose, now: float
    ) -> tuple[list[str], list[Any]]:
        keys = self._keys
        task_id, tag, priority = _addressed(execution, body)
        step = step_of(priority)
        due = int(what.due * 1000) if isinstance(what, Rebuild) and what.due is not None else ""
        message = body if isinstance(what, Rebuild) else b""
        names = [
            keys.leader, keys.settling, keys.events, keys.queues, keys.step(queue, step), keys.delayed(queue),
            keys.delayed_messages(queue), keys.held, keys.spent, keys.spent_before,
        ]  # fmt: skip
        event = events.encode(told(execution, attempt, queue, what, now))
        return names, [self._token, event, queue, message, due, stored(step, queue, b""), task_id, tag]


def _addressed(execution: Unfinished, body: bytes) -> tuple[str, str, int]:
    """Task id, delivery tag and priority: the message's own, else what is on record."""
    try:
        message = json.loads(body)
        properties = message["properties"]
        return str(message["headers"]["id"]), str(properties["delivery_tag"]), int(properties.get("priority") or 0)
    except (ValueError, TypeError, KeyError, RecursionError):
        return execution.task_id or "", execution.tag or "", execution.priority


def told(execution: Unfinished, attempt: UUID | None, queue: str, what: Rebuild | Lose, now: float) -> events.Event:
    """The event that puts it on record: an attempt that was running has ended, killed; else the message was moved."""
    event = {"id": str(execution.id), "t": now, "queue": queue, "task": execution.task}
    ended = {"attempt": str(attempt) if attempt else None, "outcome": "killed" if attempt else None, "worker": execution.worker}
    if isinstance(what, Lose):
        return {"k": events.ENDED, **event, **ended, "state": states.LOST, "reason": what.reason}
    state = states.READY if what.due is None else states.DELAYED
    if attempt is not None:
        return {"k": events.ENDED, **event, **ended, "state": state, "due": what.due, "reason": absence.REBUILT}
    return {"k": events.MOVED, **event, "state": state, "due": what.due, "reason": absence.REBUILT}
