"""`windrow up`, whole: from nothing to workers and back, its ends, and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from celery import Celery

from tests.waiting import wait_until
from windrow.authoring.install import install
from windrow.broker.client import Client, connect
from windrow.broker.observe import QueueReading, observe
from windrow.local.platform import Platform, find, server_url
from windrow.local.servers import EmbeddedRedis

ROOT = Path(__file__).parent.parent.parent
WINDROW = [sys.executable, "-m", "windrow.cli"]
SPEC = """\
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: work}
spec: {app: "tests.apps.evidence:app", concurrency: 1, scaling: {maxReplicas: 3, scaleDownWindow: 2s}}
"""


@dataclass
class Up:
    """A platform in a process of its own."""

    process: subprocess.Popen[bytes]
    state: Path
    output: Path
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def platform(self) -> Platform:
        """Where its servers are, as soon as they are there."""
        return wait_until(self._find, 60, f"the platform is up; it said: {self.said()}")

    def _find(self) -> Platform | None:
        assert self.process.poll() is None, self.said()
        return find(self.state)

    @property
    def client(self) -> Client:
        return connect(self.platform.redis_url)

    def reading(self) -> QueueReading:
        """What the queue holds."""
        return observe(self.client, ["work"])["work"]

    def publish(self, task: str, *args: Any, **options: Any) -> str:
        """Publish a task of the evidence app; its task id."""
        app = install(Celery("producer"), self.platform.redis_url)
        return str(app.send_task(f"tests.apps.evidence.{task}", args, queue="work", **options).id)

    def remember(self) -> list[psutil.Process]:
        """Every process of the platform up to now, to be looked for when it is over."""
        for process in psutil.Process(self.process.pid).children(recursive=True):
            self.seen[process.pid] = process
        return list(self.seen.values())

    def left(self) -> list[psutil.Process]:
        """Those of them that still run."""
        return [process for process in self.seen.values() if _runs(process)]

    def states(self, **filters: str) -> list[str]:
        """The states on record, the newest execution's first."""
        rows = self.ask("executions", *(part for name, value in filters.items() for part in (f"--{name}", value)))
        return [row["state"] for row in rows]

    def ask(self, *words: str) -> Any:
        """What a command says, as JSON."""
        assert self.platform
        command = [*WINDROW, *words, "--json", "--state", str(self.state)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def said(self) -> str:
        # On a terminal the file comes with the first line that is read from it.
        return self.output.read_text(errors="replace") if self.output.exists() else ""


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _terminal(output: Path) -> Iterator[int]:
    """A terminal whose screen is kept as bytes in a file."""
    leader, follower = pty.openpty()

    def keep() -> None:
        with output.open("wb", buffering=0) as file, suppress(OSError):  # EIO: nobody has the other end open any more
            while written := os.read(leader, 65536):
                file.write(written)
        os.close(leader)

    threading.Thread(target=keep, daemon=True).start()
    try:
        yield follower
    finally:
        os.close(follower)


@contextmanager
def up(state: Path, spec: str = SPEC, **env: str) -> Iterator[Up]:
    """`windrow up` on a state folder; killed at the end if it still runs."""
    file, output = state.parent / "windrow.yaml", state.parent / "output"
    file.write_text(spec)
    ours = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "DATABASE_URL", "WINDROW_SPECS")}
    settings = {**ours, "EVIDENCE": str(state.parent / "evidence"), "PYTHONPATH": str(ROOT), **env}
    with _terminal(output) if env.get("TERM") == "xterm" else output.open("wb") as stream:
        process = subprocess.Popen(
            [*WINDROW, "up", "-f", str(file), "--state", str(state)],
            env=settings, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, cwd=ROOT, start_new_session=True,
        )  # fmt: skip
    made = Up(process, state, output)
    try:
        yield made
    finally:
        if process.poll() is None:
            made.remember()
            process.kill()
            process.wait()
        for late in made.left():
            with suppress(psutil.NoSuchProcess):  # its parent's death may have ended it meanwhile
                late.kill()


def evidence(state: Path, what: str) -> int:
    """How many tasks wrote that they started, or ended."""
    file = state.parent / "evidence"
    return sum(line.split()[2] == what for line in file.read_text().splitlines()) if file.exists() else 0


def test_from_nothing_to_workers_and_back(state_dir: Path) -> None:
    """Workers come with the tasks, up to maxReplicas, and go when there is nothing to do; Ctrl-C then leaves no process."""
    with up(state_dir) as platform:
        assert platform.reading().workers == ()
        for _ in range(9):
            platform.publish("work", 1.0)
        wait_until(lambda: len(platform.reading().workers) == 3, 40, "three workers serve the queue")
        platform.remember()
        wait_until(lambda: evidence(state_dir, "end") == 9, 40, "nine tasks have ended")
        wait_until(lambda: platform.reading().workers == (), 30, "no worker is left")
        wait_until(lambda: platform.states() == ["success"] * 9, 20, "nine successes are on record", pause=0.5)
        status = platform.ask("status")["queues"][0]
        assert status["decision"]["reason"] == "idle"
        assert status["totals"]["finished"] == 9
        platform.remember()
        platform.process.send_signal(signal.SIGINT)
        assert platform.process.wait(30) == 0
        assert platform.left() == []
    assert find(state_dir) is None
    assert "3 workers" in platform.said()


def test_the_ends_of_a_platform_lose_nothing(state_dir: Path) -> None:
    """A first Ctrl-C waits for what runs, a second gives it back; what was on record or waits is there again."""
    with up(state_dir) as platform:
        platform.publish("work", 3.0)
        platform.publish("work", 0.0, countdown=3600)
        wait_until(lambda: evidence(state_dir, "start") == 1, 40, "the task runs")
        platform.remember()
        platform.process.send_signal(signal.SIGINT)
        assert platform.process.wait(30) == 0
        assert platform.left() == []
        assert evidence(state_dir, "end") == 1
    with up(state_dir) as platform:
        assert platform.states() == ["delayed", "success"]
        platform.publish("work", 50.0)
        wait_until(lambda: evidence(state_dir, "start") == 2, 40, "the long task runs")
        platform.remember()
        platform.process.send_signal(signal.SIGINT)
        wait_until(lambda: "Ctrl-C again" in platform.said(), 10, "it says what a second Ctrl-C does")
        platform.process.send_signal(signal.SIGINT)
        assert platform.process.wait(20) == 0
        assert platform.left() == []
    with EmbeddedRedis(state_dir) as broker:
        client = connect(broker.url)
        reading = observe(client, ["work"])["work"]
        assert (reading.ready, reading.delayed, reading.in_flight, reading.workers) == (1, 1, 0, ())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's signal at the parent's death is Linux's")
def test_a_killed_supervisor_leaves_no_process_and_loses_nothing(state_dir: Path) -> None:
    """kill -9 of `windrow up` takes everything with it; the next start runs what was running again."""
    with up(state_dir) as platform:
        platform.publish("work", 4.0)
        wait_until(lambda: evidence(state_dir, "start") == 1, 40, "the task runs")
        assert len(platform.remember()) >= 4
        platform.process.kill()
        platform.process.wait()
        wait_until(lambda: platform.left() == [], 20, "every process is gone")
    with up(state_dir) as platform:
        wait_until(lambda: evidence(state_dir, "start") == 2, 60, "it runs again")
        wait_until(lambda: platform.states() == ["success"], 30, "it ends on record", pause=0.5)


def test_two_platforms_never_share_a_state_folder(state_dir: Path) -> None:
    """The second is told who holds it, with exit code 2, and the first goes on."""
    with up(state_dir) as platform:
        pid = platform.platform and platform.process.pid
        file = str(state_dir.parent / "windrow.yaml")
        command = [*WINDROW, "up", "-f", file, "--state", str(state_dir)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 2
        assert f"held by process {pid}" in done.stderr
        assert len(done.stderr.splitlines()) == 1
        wait_until(lambda: server_url(state_dir), 30, "the server listens")
        platform.remember()
        platform.process.send_signal(signal.SIGTERM)
        assert platform.process.wait(30) == 0
        assert platform.left() == []


@pytest.mark.parametrize(
    ("spec", "port_in_use", "sentence"),
    [
        (SPEC, True, "must be free, and is held by process"),
        (SPEC.replace("evidence:app", "missing:app"), False, "windrow.yaml:4: spec.app must be a Celery app"),
        (SPEC.replace("concurrency", "concurency"), False, "windrow.yaml:4: "),
        (SPEC.replace("{maxReplicas: 3", "{minReplicas: 4, maxReplicas: 3"), False, "windrow.yaml:4: "),
        (SPEC + "---\n" + SPEC.replace("name: work", "name: other").replace("{app", "{queue: work, app"), False, ":9: "),
    ],
    ids=["port in use", "app that can't be imported", "unknown key", "min over max", "two specs on one queue"],
)
def test_what_can_not_work_starts_nothing(state_dir: Path, spec: str, port_in_use: bool, sentence: str) -> None:
    """One sentence on standard error, exit code 2, and not even a state folder."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = {"WINDROW_PORT": str(taken.getsockname()[1])} if port_in_use else {}
        with up(state_dir, spec, **env) as platform:
            assert platform.process.wait(60) == 2
        assert sentence in platform.said()
        assert len(platform.said().splitlines()) == 1
        assert not state_dir.exists()


CRASHES = """\
import os
from celery import Celery
app = Celery("crashes")
if "WINDROW_SPECS" in os.environ:
    raise SystemExit("not in a worker")
"""


def test_workers_that_crash_are_started_ever_later_and_said(state_dir: Path) -> None:
    """A worker that can't start doesn't burn the machine, people see why, and the platform stops as ever."""
    (state_dir.parent / "crashes.py").write_text(CRASHES)
    spec = SPEC.replace("tests.apps.evidence:app", "crashes:app").replace("{maxReplicas", "{minReplicas: 1, maxReplicas")
    with up(state_dir, spec, PYTHONPATH=f"{state_dir.parent}{os.pathsep}{ROOT}") as platform:
        wait_until(lambda: "times in a row" in platform.said(), 60, "the view says that it crashes")
        assert "see worker-work-1.log" in platform.said()
        assert "not in a worker" in (state_dir / "logs" / "worker-work-1.log").read_text()
        platform.process.send_signal(signal.SIGTERM)
        assert platform.process.wait(30) == 0


def test_given_servers_take_the_place_of_the_embedded_ones(state_dir: Path, redis_url: str, database_url: str) -> None:
    """REDIS_URL and DATABASE_URL: an empty database gets its tables, none is embedded, and a terminal shows the queues."""
    with up(state_dir, REDIS_URL=redis_url, DATABASE_URL=database_url, TERM="xterm") as platform:
        assert (platform.platform.redis_url, platform.platform.database_url) == (redis_url, database_url)
        platform.publish("work", 0.0)
        wait_until(lambda: evidence(state_dir, "end") == 1, 40, "the task has ended")
        wait_until(lambda: platform.states() == ["success"], 20, "it is on record", pause=0.5)
        platform.remember()
        platform.process.send_signal(signal.SIGTERM)
        assert platform.process.wait(30) == 0
        assert platform.left() == []
        assert {path.name for path in state_dir.iterdir()}.isdisjoint({"redis", "postgres"})
        screen = wait_until(
            lambda: platform.said().endswith("\x1b[?1049l") and platform.said(), 5, "the shell's screen is back"
        )
        assert screen.startswith("\x1b[?1049h")
        assert "IN FLIGHT" in screen


@pytest.mark.parametrize("name", ["REDIS_URL", "DATABASE_URL"])
def test_given_servers_that_do_not_answer_are_refused(state_dir: Path, redis_url: str, database_url: str, name: str) -> None:
    """One sentence, exit code 2, and no process is left."""
    given = {"REDIS_URL": redis_url, "DATABASE_URL": database_url}
    given[name] = given[name].rsplit(":", 1)[0] + ":1/0"
    with up(state_dir, **given) as platform:
        assert platform.process.wait(60) == 2
        assert f"{name} must name a" in platform.said().splitlines()[-1]
        assert "Traceback" not in platform.said()
