"""Real workers in processes of their own, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.waiting import wait_until
from windrow.broker import events
from windrow.broker.client import Client, connect
from windrow.broker.observe import workers as registered
from windrow.worker.warden import NAME, children_of

ROOT = Path(__file__).parent.parent
CODE = """
import sys
from windrow.queues.load import load_specs
from windrow.settings import Settings
from windrow.worker.main import run
sys.exit(run(load_specs(sys.argv[1])[0], Settings.from_env()))
"""
SPEC = """
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {{name: {name}}}
spec:
  queue: {queue}
  app: {app}
  concurrency: {concurrency}
{more}
"""


@dataclass
class Work:
    """One queue on one Redis, its workers, and the file in which the tasks write what they did."""

    url: str
    folder: Path
    queue: str = "work"
    app: str = "tests.apps.evidence:app"
    more: str = ""
    prefix: str = ""
    """The platform's `global_keyprefix`."""
    as_user: str | None = None
    """Where the workers connect, when that isn't `url`: as a user with fewer rights, say."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def client(self) -> Client:
        """A client for this Redis."""
        return connect(self.url, key_prefix=self.prefix)

    @property
    def evidence(self) -> Path:
        """Where `tests.apps.evidence` writes."""
        return self.folder / "evidence"

    def start(self, concurrency: int = 2, *, wait: bool = True, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a worker; with `wait`, return when it has registered."""
        spec = self.folder / f"{self.queue}-{concurrency}.yaml"
        name = self.queue.replace("_", "-")
        spec.write_text(
            SPEC.format(name=name, queue=self.queue, app=self.app, concurrency=concurrency, more=self.more), encoding="utf-8"
        )
        settings = {
            **os.environ, "REDIS_URL": self.as_user or self.url, "WINDROW_KEY_PREFIX": self.prefix,
            "EVIDENCE": str(self.evidence), "PYTHONPATH": str(ROOT), **(env or {}),
        }  # fmt: skip
        with (self.folder / "workers.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", CODE, str(spec)], env=settings, stdout=log, stderr=log, start_new_session=True, cwd=ROOT
            )
        self.processes.append(process)
        if wait:
            wait_until(lambda: self.id_of(process), 30, "the worker registers")
        return process

    def id_of(self, process: subprocess.Popen[bytes]) -> str | None:
        """The worker id of a process, once it has registered."""
        return next((worker.id for worker in registered(self.client) if worker.pid == process.pid), None)

    def children(self, process: subprocess.Popen[bytes]) -> list[int]:
        """The pool processes of a worker."""
        found = []
        for pid in children_of(process.pid):
            try:
                name = Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
            except OSError:  # it has ended meanwhile
                continue
            if name != NAME.decode():
                found.append(pid)
        return found

    def events(self) -> list[dict[str, Any]]:
        """Every event on the stream, in order."""
        return [event for _, entry in self.client.xrange(self.client.keys_of.events) for event in events.decode(entry)]

    def finals(self) -> dict[str, list[str]]:
        """The final states told of each execution."""
        told: dict[str, list[str]] = {}
        for event in self.events():
            if event.get("state") not in (None, "ready", "delayed", "retrying"):
                told.setdefault(event["id"], []).append(event["state"])
        return told

    def lines(self) -> list[list[str]]:
        """What the tasks wrote: monotonic time, pid, what, task id, extra."""
        if not self.evidence.exists():
            return []
        return [line.split() for line in self.evidence.read_text(encoding="utf-8").splitlines()]

    def log(self) -> str:
        """What the workers logged."""
        return (self.folder / "workers.log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Drain every worker that still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@contextmanager
def working(url: str, folder: Path, **options: Any) -> Iterator[Work]:
    """A `Work` whose workers are gone at the end, whatever happened."""
    work = Work(url, folder, **options)
    try:
        yield work
    finally:
        for process in work.processes:
            if process.poll() is None:
                process.kill()
                process.wait()


def producer(url: str, app: Any, prefix: str = "") -> Any:
    """Install `app` as a producer for `url`; returns it."""
    from windrow.authoring.install import install

    app.set_current()
    return install(app, url, prefix)


def until_settled(work: Work, executions: Iterable[str], timeout: float) -> None:
    """Wait until each of these executions has a final state."""
    wanted = set(executions)
    wait_until(lambda: wanted <= set(work.finals()), timeout, "every execution has a final state", pause=0.2)
