"""Faults put in by hand: messages copied and moved, clocks stepped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import redis

from tests.chaos.load import QUEUE
from tests.chaos.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.rows import Row


def duplicate(stage: Stage, row: Row) -> None:
    """Raw messages are put in again at random places, at once or when they have long ended; others change place."""
    client, kept = stage.client(), []
    for _ in range(row.blows):
        time.sleep(stage.dice.uniform(0.02, 0.2))
        waiting = client.lrange(QUEUE, 0, -1)
        kept += stage.dice.sample(waiting, min(2, len(waiting)))
        if not kept:
            continue
        stage.struck += 1
        message, pivot = stage.dice.choice(kept), stage.dice.choice(waiting) if waiting else None
        how = stage.dice.randrange(3)
        if how == 0 or pivot is None:
            client.lpush(QUEUE, message)
        elif how == 1:
            client.linsert(QUEUE, "BEFORE", pivot, message)
        else:
            _move(client, pivot)


def _move(client: redis.Redis, message: bytes) -> None:
    """To the other end, in one step, if it is still there."""
    script = "if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then redis.call('RPUSH', KEYS[1], ARGV[1]) end"
    client.eval(script, 1, QUEUE, message)


def step_clock(stage: Stage, row: Row) -> None:
    """The wall clock of one side (see the row's `clock_of`) jumps 5 minutes ahead, back, 5 minutes behind, and back."""
    for offset in (300, 0, -300, 0):
        stage.struck += 1
        (stage.folder / "clock").write_text(str(offset))
        time.sleep(12.0)
