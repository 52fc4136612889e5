"""`python -m tests.e2e [--rows NAME …] [--keep]`: play the rows, print the table, write build/e2e.json; 1 on a miss."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from deploy.cluster import BuildFailed, Missing, Trouble, down, find, up
from deploy.cluster.choice import Way
from deploy.cluster.release import own, provide
from tests.e2e.row import Outcome, Row, chosen, tried
from tests.e2e.rows import ROWS
from tests.e2e.rows_project import build_examples
from tests.e2e.stage import APP, FOLDER, ROOT, Stage, Wrong, clock

RESULT = ROOT / "build" / "e2e.json"
FIGURES = ("accepted", "missing", "finished_twice", "repeated")


def main() -> int:
    """Play; 0 when every rule held."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument("--rows", nargs="+", metavar="NAME", help="only these, and what they need")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running, as one that ran before is")
    parser.add_argument("--list", action="store_true", help="print the rows' names")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{', '.join(row.names)}: {row.says}" for row in ROWS))
        return 0
    try:
        rows = chosen(ROWS, given.rows or ())
    except ValueError as reason:
        parser.error(str(reason))
    FOLDER.mkdir(parents=True, exist_ok=True)
    begun = clock()
    keep = given.keep
    try:
        keep = keep or find() is not None
        cluster = up()
        if cluster.way is Way.NAMED:
            raise Missing(
                "end-to-end rows must have a cluster of their own, since they delete what is there, and one was named"
            )
        stage = Stage(cluster, own(ROOT).rpartition(":")[2])
        provide(cluster)
        _images(stage)
    except (Missing, BuildFailed, Trouble, Wrong) as reason:
        print(f"no end-to-end run: {reason}", file=sys.stderr)
        return 1
    print(f"cluster and images in {clock() - begun:.0f} s", flush=True)
    results: list[dict[str, object]] = []
    try:
        _clear(stage)
        stage.start_evidence(stage.state["app:1"])
        for row in rows:
            results += _play(stage, row)
    finally:
        if not keep:
            down()
    whole = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": _machine(),
        "seconds": round(clock() - begun, 1),
        "network_policies_enforced": stage.state.get("enforced"),
        "rows": results,
    }
    RESULT.write_text(json.dumps(whole, indent=1) + "\n")
    missed = [row for row in results if not row["ok"]]
    print(f"{len(results) - len(missed)} of {len(results)} rows met in {clock() - begun:.0f} s; {RESULT.relative_to(ROOT)}")
    return 1 if missed else 0


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def _clear(stage: Stage) -> None:
    """Take away what an earlier run left; the cluster is one that was made here, not one with other people's work."""
    for release in (stage.release, "windrow-crds"):
        stage.helm("uninstall", release, "--ignore-not-found", check=False)
    names = [one["metadata"]["name"] for one in stage.get("namespaces")["items"]]
    mine = [name for name in names if name.startswith(("windrow", "e2e"))]
    if mine:
        stage.kubectl("delete", "ns", *mine, "--timeout=170s")
    stage.kubectl("delete", "crd", "queueworkers.windrow.dev", "--ignore-not-found")


def _images(stage: Stage) -> None:
    """The workers' images, two editions of the tests' own on Windrow's, and a second edition of the platform's."""
    tag = f"windrow/windrow:{stage.version}"
    for edition in ("1", "2"):
        name = f"windrow-e2e/app:{edition}"
        stage.cluster.build(APP, name, args={"WINDROW": tag, "EDITION": edition})
        stage.state[f"app:{edition}"] = name
    second = f"{stage.version}-second"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text(f"FROM {tag}\nENV EDITION=2\n")
        stage.cluster.build(Path(folder), f"windrow/windrow:{second}")
    stage.state["tag:2"] = second
    build_examples(stage)
    stage.cluster.load("windrow-e2e/app:1", "windrow-e2e/app:2", f"windrow/windrow:{second}")


def _play(stage: Stage, row: Row) -> list[dict[str, object]]:
    outcomes: dict[str, Outcome] = {}

    def play() -> Outcome:
        played = row.play(stage)
        outcomes.update({row.name: played} if isinstance(played, Outcome) else played)
        return played if isinstance(played, Outcome) else Outcome()

    whole = tried(play)
    outcomes = outcomes or {name: Outcome(wrong=whole.wrong) for name in row.names}
    found = []
    for name, outcome in outcomes.items():
        seconds = whole.seconds if outcome.seconds is None else outcome.seconds
        figures = {figure: getattr(outcome, figure) for figure in FIGURES}
        found.append(
            {
                "name": name,
                "ok": not outcome.wrong,
                **figures,
                "seconds": seconds,
                "overlapping": outcome.overlapping,
                **outcome.notes,
                "wrong": outcome.wrong,
            }
        )
        shown = "  ".join(f"{figure} {getattr(outcome, figure)}" for figure in FIGURES)
        print(f"{'ok  ' if not outcome.wrong else 'MISS'} {name:20} {shown}  {seconds} s  {outcome.notes or ''}", flush=True)
        for sentence in outcome.wrong:
            print(f"       {sentence}", flush=True)
    if any(outcome.wrong for outcome in outcomes.values()):
        stage.show(row.name)
    return found


if __name__ == "__main__":
    sys.exit(main())
