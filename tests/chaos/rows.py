"""Every row of the suite: which fault, under which load, and what must hold beyond what holds in each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from tests.chaos import faults, outages, stops, tricks
from tests.chaos.load import Load
from tests.chaos.processes import Kind
from tests.chaos.proxy import CUT, REFUSE, acknowledges, takes
from tests.chaos.row import Limit, Row, a_slot_each, lost_tail, neighbours, once_each_slot

KILLS: Mapping[str, Limit] = {"repeated": once_each_slot, "recover_s": 10.0}
ONCE: Mapping[str, Limit] = {"repeated": 0}
NO_RECORDS = "bare Celery keeps no records"

_SHORT_TASKS = Load()
_BUSY = Load(rate=9, seconds=(0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.3, 12.0))
"""With bodies that are longer than a lease."""
_CANVAS = Load("canvas", count=360, rate=12, seconds=(0.0, 0.02, 0.1))
_FOURS = (Kind(slots=4), Kind(slots=4), Kind(slots=4))
_EIGHTS = (Kind(slots=8), Kind(slots=8), Kind(slots=8))
_MIXED = (Kind(slots=4), Kind(slots=4), Kind("asyncio", 40))


def _kills() -> list[Row]:
    silence = "the message is in the worker's in-flight set from the step that takes it; 8 s of silence, counted by the leader"
    atomic = "taking is one step of Redis: the message is in its list or in the in-flight set"
    ended = "the acknowledgement and the final are one step of Redis: both are there, or neither"
    parent = "the parent sees the child end, and gives its message back in the step that counts it"
    limits = {"repeated": once_each_slot, "next_s": 1.0}
    return [
        Row("child", "kill -9 a pool child", faults.kill_children, parent, blows=60, limits=limits, weight=2.0, short=True),
        Row("worker", "kill -9 a worker, at random", faults.kill_workers, silence, blows=40, limits=KILLS, short=True),
        Row(
            "worker-take",
            "kill -9 a worker within 1 ms of a take",
            partial(faults.kill_when, sees=takes),
            atomic,
            blows=25,
            limits=KILLS,
        ),
        Row(
            "worker-ack",
            "kill -9 a worker within 1 ms of an acknowledgement",
            partial(faults.kill_when, sees=acknowledges),
            ended,
            blows=25,
            limits=KILLS,
        ),
        Row("tree", "kill -9 all processes of a worker at once", faults.kill_trees, silence, blows=30, limits=KILLS),
    ]


def _stops() -> list[Row]:
    drain = "at the first signal nothing more is taken; what was taken and not started goes back in its order"
    fence = "a worker whose lease ran out kills its children; what it finished late is refused"
    frozen: Mapping[str, Limit] = {
        "overlapping": a_slot_each,
        "overlap_s": 1.0,
        "interrupted": a_slot_each,
        "repeated": a_slot_each,
    }
    return [
        Row("term", "SIGTERM to a busy worker", stops.terminate, drain, blows=20, limits=ONCE, short=True),
        Row("term-group", "SIGTERM to its process group", partial(stops.terminate, group=True), drain, blows=12, limits=ONCE),
        Row("grace", "grace exceeded: a second SIGTERM, or SIGKILL to all", stops.exceed_grace, drain, blows=16, limits=KILLS),
        Row(
            "freeze-main",
            "SIGSTOP a worker's main process 60 s, then SIGCONT",
            partial(stops.freeze, seconds=60, whole=False),
            fence,
            _BUSY,
            _EIGHTS,
            1,
            {"interrupted": a_slot_each, "repeated": a_slot_each},
            weight=0.5,
        ),
        Row(
            "freeze-tree",
            "SIGSTOP all of a worker 60 s, then SIGCONT",
            partial(stops.freeze, seconds=60, whole=True),
            fence,
            _BUSY,
            _EIGHTS,
            1,
            frozen,
            weight=0.5,
        ),
    ]


def _redis() -> list[Row]:
    waits = "while Redis doesn't answer the leader either, it says so, and no silence counts: tasks go on"
    rows = []
    for seconds, blows in ((5, 3), (30, 1), (60, 1)):
        long = tuple(round(seconds * share / 8, 1) for share in range(2, 13))
        load = Load("awork", rate=40, long=long)
        for name, said, play in (
            ("frozen", "frozen", partial(outages.freeze_redis, seconds=seconds)),
            ("cut", "cut from all", partial(outages.cut_redis, seconds=seconds, mode=CUT)),
        ):
            fault = f"Redis {said} for {seconds} s, with tasks of up to {long[-1]:g} s running"
            short = name == "frozen" and seconds == 5
            rows.append(
                Row(f"{name}-{seconds}", fault, play, waits, load, _MIXED, blows, ONCE, settle_s=120, weight=0.6, short=short)
            )
    refuse = partial(outages.cut_redis, seconds=10, mode=REFUSE)
    one = {"interrupted": a_slot_each, "repeated": a_slot_each}
    kept = "nothing is lost that Redis had written; workers say again what was not answered"
    back = "workers put back what they hold before anybody takes; the reconciler rebuilds the rest from the records"
    lost: Mapping[str, Limit] = {"missing": lost_tail, "missing_durable": 0, "finished_twice": 0}
    return [
        *rows,
        Row("refused-10", "Redis refuses connections for 10 s", refuse, waits, Load("awork", rate=40), _MIXED, 2, ONCE),
        Row(
            "one-5",
            "Redis cut from one worker for 5 s",
            partial(outages.cut_one, seconds=5, server_too=False),
            "the lease of 8 s",
            Load(rate=25, seconds=(0.05, 0.2, 1.0)),
            _FOURS,
            4,
            ONCE,
            weight=0.6,
        ),
        Row(
            "one-60",
            "Redis and the server cut from one worker for 60 s",
            partial(outages.cut_one, seconds=60, server_too=True),
            "its deadline passes without anybody's word: it kills its children before others start again",
            _BUSY,
            _EIGHTS,
            1,
            one,
            weight=0.5,
        ),
        Row("restart", "Redis kill -9 and restart", outages.restart_redis, kept, blows=4, limits=ONCE, short=True),
        Row(
            "lost-second",
            "Redis kill -9 and restart with the last second cut off the AOF",
            partial(outages.restart_redis, lose=1.0),
            back,
            Load(),
            blows=3,
            limits=lost,
        ),
        Row(
            "emptied",
            "Redis emptied under load",
            outages.empty_redis,
            back,
            blows=2,
            limits={"missing": lost_tail, "stuck": 0},
            settle_s=90,
        ),
    ]


def _platform() -> list[Row]:
    stream = "workers need no PostgreSQL; the event stream keeps what the recorder has not written"
    once = "one server leads at a time; each event counts once, with the stream's position in the same transaction"
    options = {"limits": ONCE, "celery": NO_RECORDS, "settle_s": 90.0}
    stop = partial(outages.stop_postgres, seconds=120)
    return [
        Row("postgres", "PostgreSQL killed", outages.kill_postgres, stream, blows=4, **options),
        Row("postgres-120", "PostgreSQL stopped 2 minutes", stop, stream, Load(rate=20), blows=1, weight=0.5, **options),
        Row(
            "servers",
            "recorder, dispatcher, recovery killed; two of each",
            outages.kill_servers,
            once,
            Load(rate=20),
            blows=10,
            limits={"repeated": once_each_slot},
            servers=2,
            celery=NO_RECORDS,
            settle_s=90,
        ),
    ]


def _tasks() -> list[Row]:
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
        row("poison-prefork", "a task that kills its process each time, prefork", poison, Kind(slots=4), die),
        row("poison-asyncio", "a task that kills its process each time, asyncio", poison, Kind("asyncio", 20), die, one),
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


def _canvas() -> list[Row]:
    said = "chain, group, chord, retry and replace across "
    frozen = "the next step's ids are fixed when the canvas is made; acknowledging the old and adding the new is one step"
    return [
        Row("canvas-child", said + "kill -9 of children", faults.kill_children, frozen, _CANVAS, blows=30, limits=KILLS),
        Row("canvas-worker", said + "kill -9 of workers", faults.kill_workers, frozen, _CANVAS, blows=15, limits=KILLS),
        Row("canvas-term", said + "SIGTERM", stops.terminate, frozen, _CANVAS, blows=10, limits=ONCE),
        Row("canvas-restart", said + "a restart of Redis", outages.restart_redis, frozen, _CANVAS, blows=3, limits=ONCE),
    ]


def _time() -> list[Row]:
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


ROWS: Mapping[str, Row] = {
    row.name: row for rows in (_kills(), _stops(), _redis(), _platform(), _tasks(), _canvas(), _time()) for row in rows
}
