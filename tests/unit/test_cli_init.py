"""Process 1 of a container: orphans are reaped, and a stop reaches the main process alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until
from windrow.cli import init

MAIN = """
import os, signal, subprocess, sys, time
from windrow.cli.init import exec_below_init

exec_below_init()
assert os.getpid() != 1
subprocess.Popen(["sh", "-c", "sleep 0.1 & exit 0"]).wait()  # its child is nobody's now
child = subprocess.Popen([sys.executable, os.path.join(os.path.dirname(__file__), "child.py")])

def stop(number, frame):
    print("main told", flush=True)
    child.kill()
    sys.exit(3)

def zombies():
    found = [open(f"/proc/{pid}/stat").read() for pid in os.listdir("/proc") if pid.isdigit()]
    return [one for one in found if ") Z " in one]

signal.signal(signal.SIGTERM, stop)
time.sleep(0.3)
until = time.monotonic() + 20
while zombies() and time.monotonic() < until:
    time.sleep(0.05)
print("zombies", len(zombies()), flush=True)
time.sleep(60)
"""
CHILD = """
import signal, time

signal.signal(signal.SIGTERM, lambda number, frame: print("child told", flush=True))
print("up", flush=True)
time.sleep(60)
"""


def test_only_process_1_puts_an_init_above_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any other process has somebody above it who reaps."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert init.below_init(7, ["windrow", "worker"]) is None
    assert init.below_init(1, ["windrow", "worker"]) == ["/bin/dumb-init", "--single-child", "--", "windrow", "worker"]


def test_without_an_init_the_command_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's own image need not have dumb-init."""
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert init.below_init(1, ["windrow", "worker"]) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="process 1 of a namespace is NOT tested: making one takes root")
def test_process_1_reaps_and_passes_a_stop_to_the_main_process_alone(tmp_path: Path) -> None:
    """In a namespace of its own: an orphan's zombie goes, and SIGTERM comes to the main process, not to its child."""
    (tmp_path / "stage.py").write_text(MAIN)
    (tmp_path / "child.py").write_text(CHILD)
    log = tmp_path / "log"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with log.open("w") as out:
        outer = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, str(tmp_path / "stage.py")],
            stdout=out, stderr=subprocess.STDOUT, env={**os.environ, "PATH": path}, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: "zombies" in log.read_text() and "up" in log.read_text(), 30, "the stage is set")
        first = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
        assert Path(f"/proc/{first}/comm").read_text().strip() == "dumb-init"
        os.kill(first, signal.SIGTERM)
        assert outer.wait(20) == 3
    finally:
        outer.kill()
    said = log.read_text()
    assert "zombies 0" in said
    assert "main told" in said
    assert "child told" not in said


def test_looking_for_the_init_imports_nothing_heavy() -> None:
    """It comes before every command."""
    code = "import sys, windrow.cli.init; print([m for m in sys.modules if m.split('.')[0] in ('celery', 'click', 'redis')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
