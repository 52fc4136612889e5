"""Plays one row: stage, load, fault, settling, verdict."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.chaos import bare
from tests.chaos.checker import Verdict, check
from tests.chaos.faults import under_load
from tests.chaos.log import Log
from tests.chaos.row import Row, misses
from tests.chaos.settling import settle
from tests.chaos.stage import Stage

QUIET_SECONDS = 75.0
"""Where something may be missing, nothing more is expected after so long."""


def play(row: Row, system: str, seed: int) -> dict[str, Any]:
    """Play a row; what `build/chaos.json` holds of it. Its folder stays when it misses."""
    folder = Path(tempfile.mkdtemp(prefix=f"windrow-chaos-{row.name}-"))
    if os.geteuid() == 0:
        folder.chmod(0o711)
    began = time.monotonic()
    blows, kills, verdict, why = 0, 0, Verdict(), []
    try:
        with Stage(
            folder, system, seed, servers=row.servers, clock_of=row.clock_of, entry=row.entry, kind=row.kinds[0]
        ) as stage:
            for kind in row.kinds:
                stage.worker(kind, wait=False)
            for worker in stage.workers:
                stage.until(lambda worker=worker: stage.ready(worker), 90, "a worker takes tasks")
            stage.publish(row.load)
            under_load(stage)
            row.play(stage, row)
            stage.end_load(row.load.count / (row.load.rate or 200) + 120)
            settled = settle(stage, row.kinds, *patience(row, system))
            accounts = stage.accounts()
            stage.stop_all()
            blows, kills = stage.struck, stage.killed
            log = stage.log(row.expected if system == "windrow" else dict.fromkeys(row.expected, "failed"), accounts)
            (folder / "harness.json").write_text(json.dumps(told_by_harness(log, stage.clock), indent=1))
            verdict = check(log)
            why = misses(verdict, row, blows)
            if not settled and not why and not verdict.missing:
                why = [f"all must have a final within {row.settle_s:g} s of the last call, and it took longer"]
    except Exception as error:
        why = [f"the row must play to its end, and did not: {type(error).__name__}: {error}"]
        traceback.print_exc()
    if why and not os.environ.get("CHAOS_KEEP_NOTHING"):
        why.append(f"its logs are in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "name": row.name,
        "fault": row.fault,
        "system": system,
        "tasks": row.tasks,
        "blows": blows,
        "kills": kills,
        **asdict(verdict),
        "met": not why,
        "why": why,
        "seconds": round(time.monotonic() - began, 1),
    }


def patience(row: Row, system: str) -> tuple[float, float]:
    """How long finals are waited for: in all, and while no body starts or ends."""
    if system == "celery":
        return 360.0, bare.VISIBILITY_TIMEOUT + bare.RESTORE_SECONDS + 10.0
    return row.settle_s, QUIET_SECONDS if "missing" in row.limits else row.settle_s


def told_by_harness(log: Log, clock: float) -> dict[str, Any]:
    """What nobody but the harness knows of a run, for who follows a miss up."""
    told: dict[str, Any] = {
        "kills": log.kills,
        "deaths": log.deaths,
        "frozen": log.frozen,
        "lost": log.lost,
        "end": log.end,
        "clock": clock,
    }
    return {**told, "outages": [asdict(outage) for outage in log.outages]}
