"""Rows about tasks that are no good, canvases, due times, clocks and copies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from tests.chaos import faults, outages, stops, tricks
from tests.chaos.load import Load
from tests.chaos.loads import CANVAS, KILLS, ONCE
from tests.chaos.processes import Kind
from tests.chaos.row import Limit, Row, neighbours


def tasks() -> list[Row]:
    poison = "recoveries are counted; from the second one on an execution runs alone"
    nothing = faults.wait_for_all
    one: Mapping[str, Limit] = {"interrupted": neighbours, "repeated": neighbours}

    def row(name: str, fault: str, rests: str, kind: Kind, rare: dict[str, str], limits: Mapping[str, Limit] = ONCE) -> Row:
        load = Load("awork" if kind.pool == "asyncio" else "work", rare=tuple(rare), every=100 if "die" in rare else 50)
        return Row(name, fault, nothing, rests, load, (kind, kind), limits=limits, expected=rare, settle_s=120)

    die = {"die": "lost"}
    killed = "the pool kills the child at its hard limit, and has another within 1 s"
    inside = "a task that doesn't end takes its process with it; its neighbours repeat without counting"
    late = "timed_out"
    return [
        row("poison-prefork", "a task that kills its process each time, prefork", poison, Kind(slots=4, recoveries=3), die),
        row("poison-asyncio", "a task that kills its process each time, asyncio", poison, Kind("asyncio", 20, 3), die, one),
        row(
            "limits-prefork",
            "hard limit; soft limit swallowed; prefork",
            killed,
            Kind(slots=4),
            {"hard": late, "swallow": late},
        ),
        row(
            "limits-asyncio",
            "soft limit swallowed; a coroutine that blocks the loop; asyncio",
            inside,
            Kind("asyncio", 20),
            {"aswallow": late, "block": late},
            one,
        ),
        row(
            "limits-threads",
            "hard limit; soft limit swallowed; threads",
            inside,
            Kind("threads", 8),
            {"hard": late, "swallow": late},
            one,
        ),
    ]


def canvas() -> list[Row]:
    said = "chain, group, chord, retry and replace across "
    frozen = "the next step's ids are fixed when the canvas is made; acknowledging the old and adding the new is one step"
    return [
        Row("canvas-child", said + "kill -9 of children", faults.kill_children, frozen, CANVAS, blows=30, limits=KILLS),
        Row("canvas-worker", said + "kill -9 of workers", faults.kill_workers, frozen, CANVAS, blows=15, limits=KILLS),
        Row("canvas-term", said + "SIGTERM", stops.terminate, frozen, CANVAS, blows=10, limits=ONCE),
        Row("canvas-restart", said + "a restart of Redis", outages.restart_redis, frozen, CANVAS, blows=3, limits=ONCE),
    ]


def time() -> list[Row]:
    due = Load("delays", count=10_000, rate=0, exact=True, spread=(10.0, 60.0))
    steps = Load("delays", rate=25, spread=(0.0, 60.0), seconds=(0.0, 0.05, 0.5))
    sets = "what is delayed waits in a sorted set in Redis, not in workers"
    silence = "silence and leases are counted on clocks that nobody sets"
    stepped: Mapping[str, Limit] = {"repeated": 0, "early": math.inf, "early_s": 301.0}
    ids = "a copy of a message is known by its id and tag"
    dense = Load(rate=90, seconds=(0.02, 0.05, 0.08))
    return [
        Row(
            "delays",
            "10,000 mixed delays over a Redis restart",
            partial(outages.restart_redis, before=25.0),
            sets,
            due,
            blows=1,
            limits=ONCE,
            settle_s=150,
            weight=1.4,
        ),
        Row(
            "clock-worker",
            "wall clock stepped ±5 minutes on the workers",
            tricks.step_clock,
            silence,
            steps,
            limits=stepped,
            clock_of="worker",
            settle_s=90,
            weight=0.7,
        ),
        Row(
            "clock-server",
            "wall clock stepped ±5 minutes on the server",
            tricks.step_clock,
            silence,
            steps,
            limits=stepped,
            clock_of="server",
            settle_s=90,
            weight=0.7,
            celery="bare Celery has no server",
        ),
        Row(
            "duplicates",
            "duplicate and reordered messages put in by hand",
            tricks.duplicate,
            ids,
            dense,
            blows=120,
            limits=ONCE,
        ),
    ]
