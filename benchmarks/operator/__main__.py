"""`python -m benchmarks.operator`: runs the rows, prints a table, writes `build/bench-operator.json`. Exit code 1 on a miss."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.operator import bursts, many, outage, removals
from benchmarks.operator.example import aws_example
from benchmarks.operator.report import Row, most, table
from benchmarks.operator.stage import Stage, staged
from benchmarks.run import run_of
from benchmarks.stack import ROOT, folder
from tests.cluster.parts import KUBERNETES, build
from tests.cluster.setting import QueueWorkerObject

ROWS: dict[str, Callable[[Stage], Row]] = {
    "burst_500": bursts.burst_500,
    "inflight_500": bursts.inflight_500,
    "scale_in": removals.scale_in,
    "idle_1000": lambda stage: many.idle_1000(stage, _many(stage)),
    "burst_50_of_1000": lambda stage: bursts.burst_50_of_1000(stage, _many(stage)),
    "redis_away": outage.redis_away,
    "kills": removals.kills,
    "aws_example": lambda stage: aws_example(),
}
ALONE = ("idle_1000", "burst_50_of_1000")
"""Rows that share their QueueWorkers, on a stage of their own."""
_made: dict[int, list[QueueWorkerObject]] = {}


def _many(stage: Stage) -> list[QueueWorkerObject]:
    if id(stage) not in _made:
        _made[id(stage)] = many.many(stage)
    return _made[id(stage)]


def run(keys: list[str], quick: bool, keep: Path | None, done: Callable[[Row], None]) -> list[Row]:
    """Run the named rows in their order; `done` is called with each as soon as it is measured."""
    rows: list[Row] = []
    for group in ([key for key in keys if key not in ALONE], [key for key in keys if key in ALONE]):
        if not group:
            continue
        with folder("windrow-bench-operator-") as made, staged(made, quick) as stage:
            for key in group:
                rows.append(_row(key, stage))
                print(table([rows[-1].as_json()]), flush=True)
                done(rows[-1])
            if keep is not None:
                keep.write_text(stage.operators.log(), encoding="utf-8")
    return sorted(rows, key=lambda row: list(ROWS).index(row.key))


def _row(key: str, stage: Stage) -> Row:
    """A row; one that can't be measured is a miss that says why."""
    print(f"{time.strftime('%H:%M:%S')} {key}", file=sys.stderr, flush=True)
    fallen = stage.operators.fallen()
    try:
        row = ROWS[key](stage)
        fallen = stage.operators.fallen()[len(fallen) :]
        return replace(row, checks=(*row.checks, most("operators that ended by themselves", len(fallen), 0))) if fallen else row
    except Exception as failed:  # noqa: BLE001 - the other rows are still measured
        traceback.print_exc()
        print(stage.operators.log()[-4000:], file=sys.stderr)
        if not stage.operators.alive:
            stage.operators.start()
        return Row(key, "could not be measured", (most("failures", 1, 0),), note=str(failed).replace("\n", " ")[:300])


def document(rows: list[Row], quick: bool, before: dict[str, Any]) -> dict[str, Any]:
    """What `build/bench-operator.json` holds; rows that this run has not stay as they were `before`, each names its run."""
    made = {
        **run_of(" ".join(["python -m benchmarks.operator", *(f"--rows {row.key}" for row in rows), *["--quick"] * quick])),
        "kubernetes": KUBERNETES,
        "commit": commit(),
        "quick": quick,
    }
    found = {row["key"]: row for row in before.get("rows", [])}
    found |= {row.key: {**row.as_json(), "run": made} for row in rows}
    return {**made, "rows": [found[key] for key in ROWS if key in found]}


def commit() -> str:
    """What was measured: the commit of this checkout, with a + when files differ from it; `unknown` outside of one."""
    git = ("git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+")
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def main() -> int:
    """Parse the flags, run, show, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="which rows (default: all)")
    parser.add_argument("--quick", action="store_true", help="few turns, 100 QueueWorkers, 40 s without Redis: to try it")
    parser.add_argument("--out", type=Path, default=Path("build/bench-operator.json"), help="where the figures are written")
    parser.add_argument("--log", type=Path, help="where the operator's log is kept")
    flags = parser.parse_args()
    build()
    flags.out.parent.mkdir(parents=True, exist_ok=True)

    def write(row: Row) -> None:
        before = json.loads(flags.out.read_text()) if flags.out.exists() else {}
        flags.out.write_text(json.dumps(document([row], flags.quick, before), indent=2) + "\n")

    rows = run([key for key in ROWS if key in flags.rows], flags.quick, flags.log, write)
    made = json.loads(flags.out.read_text())
    print(f"\n{made['machine']}, Kubernetes {KUBERNETES}, {made['date']}\n")
    print(table([row for row in made["rows"] if row["key"] in flags.rows]))
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
