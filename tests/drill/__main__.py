"""`python -m tests.drill`: causes every alert for real, prints what fired, writes build/drill.json.

Exit code 1 on a miss, 2 when Prometheus or Alertmanager is not installed.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.chaos.processes import ROOT
from tests.drill import catalogued, queries
from tests.drill.cause import Cause
from tests.drill.causes_operator import OPERATOR_LEADER
from tests.drill.healthy import healthy
from tests.drill.phases import CAUSES, PHASES
from tests.drill.play import play
from tests.drill.stage import Stage
from tests.drill.tower import NotInstalled, programs

RESULT = ROOT / "build" / "drill.json"
FACTOR = 20.0
"""Five minutes are 15 s: longer than a busy machine takes to start a worker, which no factor shortens."""
HEALTHY_MINUTES = 10.0


def main() -> int:
    """Play the healthy load, then the causes, phase by phase."""
    given = _arguments()
    try:
        found = programs()
    except NotInstalled as reason:
        print(f"no drill: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the stage ends what it started
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="windrow-drill-"))
    folder.chmod(0o711)  # PostgreSQL's account must reach its part of it
    document: dict[str, Any] = {**_about(found), "factor": given.factor, "rows": [], "strangers": [], "not_tried": {}}
    missed = True
    try:
        with Stage(folder, given.factor, given.shipped) as stage:
            _say(f"the stage stands after {time.monotonic() - begun:.0f} s")
            _play(stage, given, document)
            if given.rows is None:
                without = ("operator",) if OPERATOR_LEADER.name in document["not_tried"] else ()
                document["catalogue"] = catalogued.compared(stage, _say, without)
                document["queries"] = queries.asked(stage, time.monotonic() - begun, _say, without)
        missed = not met(document)
    finally:
        document["seconds"] = round(time.monotonic() - begun, 1)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        if given.keep or missed:
            _say(f"its logs are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    _say(f"{sum(row['met'] for row in document['rows'])} of {len(document['rows'])} rows met in {document['seconds']:.0f} s")
    return 1 if missed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--rows", nargs="+", metavar="CAUSE", choices=sorted(CAUSES), help="only these causes")
    parser.add_argument("--factor", type=float, default=FACTOR, help="by which every window and `for` is shorter (%(default)g)")
    parser.add_argument(
        "--healthy", type=float, metavar="MINUTES", help=f"of healthy load ({HEALTHY_MINUTES:g}; with --rows none)"
    )
    parser.add_argument("--shipped", type=Path, metavar="FOLDER", help="rendered rules to take in place of the shipped ones")
    parser.add_argument("--keep", action="store_true", help="leave the logs, as a miss does")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the figures are written (%(default)s)")
    given = parser.parse_args()
    if given.healthy is None:
        given.healthy = 0.0 if given.rows else HEALTHY_MINUTES
    return given


def met(document: dict[str, Any]) -> bool:
    """Whether everything that was tried was as it must be."""
    parts = [document[name]["met"] for name in ("healthy", "catalogue", "queries") if name in document]
    return all(parts) and not document["strangers"] and all(row["met"] for row in document["rows"])


def _play(stage: Stage, given: argparse.Namespace, document: dict[str, Any]) -> None:
    if given.healthy:
        document["healthy"] = healthy(stage, given.healthy, _say)
    wanted = set(given.rows or CAUSES)
    for name, phase in PHASES.items():
        causes = [cause for cause in phase if cause.name in wanted]
        reasons = {cause.name: cause.not_here() for cause in causes}
        for cause, reason in reasons.items():
            if reason:
                document["not_tried"][cause] = reason
                _say(f"*** {cause} is NOT tried: {reason} ***")
        causes = [cause for cause in causes if not reasons[cause.name]]
        if causes:
            _phase(stage, name, causes, document)


def _phase(stage: Stage, name: str, causes: list[Cause], document: dict[str, Any]) -> None:
    began = time.monotonic()
    rows, strange = play(stage, causes, _say)
    document["rows"] += rows
    document["strangers"] += [f"{name}: {sentence}" for sentence in strange]
    for row in rows:
        _show(row)
    for sentence in strange:
        _say(f"MISS {name}: {sentence}")
    _say(f"phase {name}: {time.monotonic() - began:.0f} s")


def _show(row: dict[str, Any]) -> None:
    times = f"fired {row['fire_s']} s, resolved {row['resolve_s']} s"
    held = f"; held back: {', '.join(row['held_back'])}" if row["held_back"] else ""
    _say(f"{'ok  ' if row['met'] else 'MISS'} {row['cause']:20} {times}  {', '.join(row['fired']) or '-'}{held}")
    for sentence in row["why"]:
        _say(f"       {sentence}")


def _say(text: str) -> None:
    print(text, flush=True)


def _about(found: dict[str, str]) -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
        "prometheus": _version(found["prometheus"]),
        "alertmanager": _version(found["prometheus-alertmanager"]),
    }


def _version(program: str) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    number = re.search(r"version (\d[\d.]*)", said.stdout + said.stderr)
    return number[1] if number else "unknown"


if __name__ == "__main__":
    sys.exit(main())
