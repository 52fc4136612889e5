"""`windrow demo` as a person starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from windrow.local.demo.arrivals import SERIES
from windrow.local.demo.run import Replay

SECONDS = 12


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_every_accepted_task_is_on_record_and_in_the_metrics(state_dir: Path) -> None:
    """A short replay: all accepted, none missing, three sources agree, queues grew past one worker and went back to none."""
    env = {key: value for key, value in os.environ.items() if key not in ("REDIS_URL", "DATABASE_URL", "WINDROW_SPECS")}
    command = [sys.executable, "-m", "windrow.cli", "demo", "--seconds", str(SECONDS), "--json", "--state", str(state_dir)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=220, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    (line,) = done.stdout.splitlines()
    found = json.loads(line)
    assert found["accepted"]["total"] == len(Replay.of(SECONDS).plan)
    assert found["missing"] == 0
    assert sum(found["finished"].values()) == found["accepted"]["total"]
    assert found["finished"]["failed"] > 0
    assert found["agree"]
    for queue in SERIES:
        assert found["metrics"]["finished"][queue] == found["accepted"][queue]
        assert found["queues"][queue]["max_workers"] >= 1, queue
        assert found["queues"][queue]["workers_at_end"] == 0, queue
    # How many a queue needs depends on how soon its first worker is up; on no machine is one enough for all four.
    assert max(found["queues"][queue]["max_workers"] for queue in SERIES) >= 2
    left = [
        process for process in psutil.process_iter(["cmdline"]) if str(state_dir) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []
