"""A healthy platform at work: bursts, queues that go to no worker at all, retries, a few failures. Nothing of it may alert."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tests.drill import tasks
from tests.drill.judge import names
from tests.drill.stage import Stage

SEED = 8


def _bursts(stage: Stage, dice: random.Random) -> Iterator[float]:
    """Some dozen calls at once, then nothing until all workers have gone, and again."""
    while True:
        for _ in range(dice.randint(20, 60)):
            stage.producer.attempt(tasks.work, "bursts", dice.choice((0.0, 0.01, 0.05, 0.1)))
        yield dice.uniform(25.0, 45.0)


def _steady(stage: Stage, dice: random.Random) -> Iterator[float]:
    """A few a second, at random moments; one of a hundred fails."""
    while True:
        if dice.random() < 0.01:
            stage.producer.attempt(tasks.fail, "steady")
        else:
            stage.producer.attempt(tasks.work, "steady", dice.uniform(0.0, 0.2))
        yield dice.expovariate(4.0)


def _retrying(stage: Stage, dice: random.Random) -> Iterator[float]:
    """Tasks of which some ask for a retry or two, in spells with pauses between."""
    while True:
        for _ in range(dice.randint(20, 40)):
            stage.producer.attempt(tasks.again, "retrying", dice.choice((0,) * 9 + (1, 2)), 0.5)
            yield dice.expovariate(3.0)
        yield dice.uniform(20.0, 40.0)


def healthy(stage: Stage, minutes: float, say: Callable[[str], None]) -> dict[str, Any]:
    """So many minutes of it; what fired, which must be nothing."""
    dice = random.Random(SEED)
    stage.desk.forget()
    stage.tower.forget()
    for name, calls in (("bursts", _bursts), ("steady", _steady), ("retrying", _retrying)):
        stage.producer.stream(name, partial(calls, stage, random.Random(dice.random())))
    end = time.monotonic() + 60 * minutes
    emptied, served = 0, False
    while time.monotonic() < end:
        time.sleep(0.5)
        stage.tower.look()
        now = stage.serving("bursts")
        emptied += served and not now
        served = now
    stage.producer.stop()
    shown, notified = stage.tower.look(), stage.desk.notified()
    finished = stage.tower.query("sum(windrow_executions_finished_total)")
    result = {
        "minutes": minutes,
        "executions": int(float(finished[0]["value"][1])) if finished else 0,
        "scaled_to_zero": emptied,
        "fired": list(names(notified)),
        "shown": list(names(shown)),
    }
    result["met"] = not result["fired"] and not result["shown"] and emptied > 0
    say(f"{'ok  ' if result['met'] else 'MISS'} healthy: {result}")
    return result
