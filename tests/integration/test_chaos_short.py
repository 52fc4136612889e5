"""The chaos suite in short: a handful of rows with fewer tasks, on real processes, judged from the log alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.stage import ROOT


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_is_lost_and_nothing_runs_twice_at_once(tmp_path: Path) -> None:
    """Each fault of the short form: missing, finished twice, overlapping and interrupted are 0, and it recovers in time."""
    out = tmp_path / "chaos.json"
    played = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--short", "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    print(played.stdout, played.stderr)
    assert {row["name"]: row["why"] for row in json.loads(out.read_text())["rows"] if not row["met"]} == {}
    assert played.returncode == 0
