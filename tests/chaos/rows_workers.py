"""Rows in which workers die, stop, or are held."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.chaos import faults, stops
from tests.chaos.load import Load
from tests.chaos.loads import BUSY, EIGHTS, KILLS, ONCE
from tests.chaos.processes import Kind
from tests.chaos.proxy import acknowledges, takes
from tests.chaos.row import Limit, Row, a_slot_each, once_each_slot


def deaths() -> list[Row]:
    silence = "the message is in the worker's in-flight set from the step that takes it; 8 s of silence, counted by the leader"
    atomic = "taking is one step of Redis: the message is in its list or in the in-flight set"
    ended = "the acknowledgement and the final are one step of Redis: both are there, or neither"
    parent = "the parent sees the child end, and gives its message back in the step that counts it"
    limits = {"repeated": once_each_slot, "next_s": 1.0}
    return [
        Row("child", "kill -9 a pool child", faults.kill_children, parent, blows=60, limits=limits, weight=2.0, short=True),
        Row(
            "worker",
            "kill -9 a worker, at random",
            faults.kill_workers,
            silence,
            kinds=(Kind(), Kind("threads", 4)),
            blows=40,
            limits=KILLS,
            short=True,
        ),
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
        Row(
            "tree",
            "kill -9 all processes of a worker at once",
            faults.kill_trees,
            silence,
            Load("awork"),
            (Kind(), Kind("asyncio", 10)),
            30,
            KILLS,
        ),
    ]


def halts() -> list[Row]:
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
            BUSY,
            EIGHTS,
            1,
            {"interrupted": a_slot_each, "repeated": a_slot_each},
            weight=0.5,
        ),
        Row(
            "freeze-tree",
            "SIGSTOP all of a worker 60 s, then SIGCONT",
            partial(stops.freeze, seconds=60, whole=True),
            fence,
            BUSY,
            EIGHTS,
            1,
            frozen,
            weight=0.5,
        ),
    ]
