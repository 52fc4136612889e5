"""`python -m benchmarks.profile`: where a no-op task's CPU goes, bare Celery and Windrow; writes `build/profile.json`."""

from __future__ import annotations

import argparse
import json
import os
import pstats
import shlex
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from benchmarks import counter, database_task, measure
from benchmarks.profiled import START, WRITE
from benchmarks.run import run_of
from benchmarks.sides import BARE, WINDROW, Side, log
from benchmarks.stack import Stack, folder, process, produce, start, until

STAGES = (
    ("the task's body", ("/benchmarks/",)),
    ("Redis client", ("/redis/", "/hiredis/", "kombu/transport/", "windrow/broker/client", "windrow/broker/wire")),
    (
        "taking and acknowledging",
        ("windrow/broker/", "kombu/message", "kombu/messaging", "celery/worker/consumer", "kombu/entity"),
    ),
    ("pool and its pipes", ("/billiard/", "celery/concurrency/", "windrow/worker/pools")),
    (
        "building and delivering requests",
        ("celery/worker/", "kombu/serialization", "kombu/utils/json", "windrow/worker/request", "windrow/worker/strategy"),
    ),
    (
        "events and records",
        ("celery/events/", "windrow/worker/report", "windrow/worker/session", "windrow/metrics", "/prometheus_client/"),
    ),
    ("event loop", ("kombu/asynchronous/", "windrow/worker/")),
    (
        "tracing",
        (
            "celery/app/",
            "celery/utils/",
            "celery/canvas",
            "celery/result",
            "celery/_state",
            "celery/local",
            "windrow/authoring/",
        ),
    ),
)
"""A function belongs to the first stage one of whose words is in its file's path."""
OTHER = "other"

Function = tuple[str, int, str]


def stage(function: Function) -> str | None:
    """The stage of a function by its file; None for what any stage may call."""
    path = function[0].replace(os.sep, "/")
    return next((name for name, words in STAGES if any(word in path for word in words)), None)


def shares(stats: dict[Function, Any]) -> dict[str, float]:
    """Each stage's part of all own time; what belongs to no stage counts for those who called it, by the time they caused."""
    known: dict[Function, dict[str, float]] = {}

    def of(function: Function, seen: frozenset[Function]) -> dict[str, float]:
        if function in known:
            return known[function]
        if found := stage(function):
            return {found: 1.0}
        callers = {caller: each for caller, each in stats[function][4].items() if caller in stats and caller not in seen}
        weights = {caller: each[3] + 1e-12 for caller, each in callers.items()}
        total: Counter[str] = Counter()
        for caller, weight in weights.items():
            for name, part in of(caller, seen | {function}).items():
                total[name] += part * weight / sum(weights.values())
        known[function] = dict(total) or {OTHER: 1.0}
        return known[function]

    own: Counter[str] = Counter()
    for function, (_, _, seconds, _, _) in stats.items():
        for name, part in of(function, frozenset()).items():
            own[name] += part * seconds
    whole = sum(own.values()) or 1.0
    return {name: seconds / whole for name, seconds in own.most_common()}


def turn(stack: Stack, side: Side, count: int, *, profiled: Path | None) -> tuple[float, float, list[dict[str, float]]]:
    """One turn; returns CPU µs a task of the main process and of all children, and the shares of main and of one child."""
    stack.empty()
    counter.reset(stack.counter)
    stack.execute(database_task.TABLE)
    command = side.worker(stack)
    if profiled is not None:
        command = [
            command[0],
            "-m",
            "benchmarks.profiled",
            str(profiled),
            side.producer.replace("bare", "celery"),
            *command[3:],
        ]
    with side.services(stack):
        produce(stack, side.producer, "noop", count)
        until(lambda: side.settled(stack), 60, "what was accepted is on record")
        with process(command, stack.environment(side.settings), log(stack, "worker")) as worker:
            counter.wait(stack.counter, count // 10, 120)
            main, children = psutil.Process(worker.pid), psutil.Process(worker.pid).children(recursive=True)
            watched = [main, max(children, key=lambda child: child.cpu_times().user)]
            if profiled is not None:
                for each in watched:
                    each.send_signal(START)
            begun, before = stack.counter.stat().st_size, (_cpu([main]), _cpu(children))
            counter.wait(stack.counter, count * 9 // 10, 300)
            ended, after = stack.counter.stat().st_size, (_cpu([main]), _cpu(children))
            found = []
            if profiled is not None:
                for each in watched:
                    written = profiled / f"{each.pid}.stats"
                    each.send_signal(WRITE)
                    until(written.exists, 20, "the profile is written", worker)
                    found.append(shares(pstats.Stats(str(written)).stats))  # type: ignore[attr-defined]
            counter.wait(stack.counter, count, 120)
    micros = [(late - early) / (ended - begun) * 1e6 for early, late in zip(before, after, strict=True)]
    return micros[0], micros[1], found


def _cpu(processes: list[psutil.Process]) -> float:
    return measure.cpu_seconds(processes)


def columns(stack: Stack, count: int) -> list[dict[str, Any]]:
    """Main process and children of both sides."""
    found = []
    for side, name in ((BARE[1], "bare Celery"), (WINDROW, "Windrow")):
        main, children, _ = turn(stack, side, count, profiled=None)
        _, _, parts = turn(stack, side, count, profiled=stack.folder)
        for micros, stages, which in ((main, parts[0], "main process"), (children, parts[1], "children")):
            found.append({"name": f"{name}, {which}", "us": micros, "stages": stages})
    return found


def main() -> None:
    """Run, show, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--tasks", type=int, default=8000, help="no-op tasks a turn, two turns a side")
    parser.add_argument("--out", type=Path, default=Path("build/profile.json"))
    flags = parser.parse_args()
    with folder("windrow-profile-") as made, start(made) as stack:
        measured = columns(stack, flags.tasks)
    document = {
        **run_of(shlex.join(["python", "-m", "benchmarks.profile", *sys.argv[1:]])),
        "tasks": flags.tasks,
        "stages": [*(name for name, _ in STAGES), OTHER],
        "columns": measured,
    }
    from benchmarks import docs

    print(docs.profile(document))
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
