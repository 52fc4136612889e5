"""The alert drill in short: one cause, on a real platform, with a real Prometheus and Alertmanager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.processes import ROOT
from tests.drill.tower import NotInstalled, programs


def _drill(out: Path, **env: str) -> subprocess.CompletedProcess[str]:
    short = ["--rows", "queue_stalled", "--factor", "30"]
    command = [sys.executable, "-m", "tests.drill", *short, "--out", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **env})


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_queue_that_stands_still_is_notified_and_resolved(tmp_path: Path) -> None:
    """With the shipped rules: the page comes after the cause, stays with it, goes with it, and comes alone."""
    try:
        programs()
    except NotInstalled as reason:
        pytest.skip(f"NOT TESTED: the alert drill. {reason}")
    played = _drill(tmp_path / "drill.json")
    print(played.stdout, played.stderr)
    document = json.loads((tmp_path / "drill.json").read_text())
    assert {row["cause"]: row["why"] for row in document["rows"]} == {"queue_stalled": []}
    assert document["rows"][0]["fired"] == ["WindrowQueueStalled(stalled)"]
    assert document["strangers"] == []
    assert played.returncode == 0


def test_without_prometheus_it_says_what_to_install(tmp_path: Path) -> None:
    """In one sentence, with an exit code of its own, and nothing is started."""
    played = _drill(tmp_path / "drill.json", PATH="/nowhere")
    assert played.returncode == 2
    assert "apt-get install prometheus prometheus-alertmanager" in played.stderr
    assert played.stderr.count("\n") == 1
    assert not (tmp_path / "drill.json").exists()
