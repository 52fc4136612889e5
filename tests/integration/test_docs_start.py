"""docs/start.md, run as it is written."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_until
from windrow.local.platform import FILE
from windrow.queues import load_specs

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(\S+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = FENCE.findall((ROOT / "docs/start.md").read_text())
# The install line's own argument, given to uv: `make setup` has put every wheel that it needs into uv's cache. The target is
# named: uv would else take the environment that it runs in, which is this test run's.
PIP = f'pip() {{ \'{sys.executable}\' -m uv pip "$1" --quiet --python .venv/bin/python "${{@:2}}"; }}\n'


def environment() -> dict[str, str]:
    """A newcomer's: nothing of this test run's."""
    hidden = ("REDIS_URL", "DATABASE_URL", "VIRTUAL_ENV", "PYTHONPATH")
    return {key: value for key, value in os.environ.items() if key not in hidden and not key.startswith("WINDROW_")}


def shell(script: str, folder: Path) -> str:
    """Run a block; every line of it must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", PIP + script],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def terminal(script: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Leave a block running; Ctrl-C at the end."""
    script = f". .venv/bin/activate\nexec {script}"
    up = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield up
    finally:
        up.send_signal(signal.SIGINT)
        try:
            print(up.communicate(timeout=60)[0])  # shown when the test fails
        finally:
            up.kill()


def test_its_files_are_good() -> None:
    """The page has one Python file that compiles and one windrow.yaml without a fault."""
    files = {name: text for language, name, text in BLOCKS if language in ("python", "yaml")}
    assert set(files) == {"tasks.py", "windrow.yaml"}
    compile(files["tasks.py"], "tasks.py", "exec")


@pytest.mark.slow
@pytest.mark.timeout(360)
def test_a_newcomer_gets_from_an_empty_folder_to_a_record(state_dir: Path) -> None:
    """Each block in its order: install, two files, up, first tasks, their records; then Ctrl-C ends all with code 0."""
    home = state_dir.parent
    (home / "windrow").symlink_to(ROOT)
    here = home / "hello"
    install, *rest = BLOCKS
    shell(install[2], home)
    for language, name, text in rest:
        if language in ("python", "yaml"):
            (here / name).write_text(text)
    assert [spec.spec.queue for spec in load_specs(here / "windrow.yaml")] == ["greetings"]
    (up_script,) = (text for language, name, text in rest if name == "terminal 1")
    tasks, records = (text for language, name, text in rest if name == "terminal 2")
    with terminal(up_script.strip(), here) as up:
        wait_until(lambda: (here / ".windrow" / FILE).exists() or up.poll() is not None, timeout=90, what="the platform is up")
        printed = shell(tasks, here).split()
        assert printed[:2] == ["Hello,", "world!"]
        assert int(printed[2]) > 0
        wait_until(
            lambda: "ValueError" in shell(f". .venv/bin/activate\n{records}", here) or None,
            timeout=60,
            what="its failure is on record",
        )
        found = shell(f". .venv/bin/activate\n{records}", here)
        assert found.count("tasks.greet") >= 3  # twice among all, once among the failed
        assert "success" in found
    assert up.returncode == 0
