"""How a worker of either system is started, and what is known of one that runs."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.load import QUEUE
from tests.chaos.proxy import Proxy

ROOT = Path(__file__).resolve().parent.parent.parent
SPEC = """\
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {{name: {name}}}
spec:
  queue: {queue}
  app: tests.chaos.tasks:app
  pool: {pool}
  concurrency: {slots}
  timeLimits: {{soft: 4m, hard: 5m}}
  maxRecoveries: {recoveries}
"""


@dataclass(frozen=True)
class Kind:
    """A kind of worker: its pool, its slots, and how often a task may take a process with it.

    More often than by default: the harness may strike the same task again and again, and it is not the task's fault.
    """

    pool: str = "prefork"
    slots: int = 2
    recoveries: int = 50


@dataclass(eq=False)
class Worker:
    """One worker process tree behind a proxy of its own."""

    process: subprocess.Popen[bytes]
    proxy: Proxy
    kind: Kind

    def tree(self) -> list[int]:
        """Its processes, the main one first; empty when it is gone."""
        try:
            root = psutil.Process(self.process.pid)
            return [root.pid, *(child.pid for child in root.children(recursive=True))]
        except psutil.NoSuchProcess:
            return []

    def has_port(self, port: int) -> bool:
        """Whether this TCP port of the machine is one of its processes'."""
        for pid in self.tree():
            try:
                if any(link.laddr.port == port for link in psutil.Process(pid).net_connections("tcp")):
                    return True
            except psutil.Error:
                continue
        return False


def write_spec(kind: Kind, path: Path, name: str) -> Path:
    """The QueueWorker of this kind, in a file."""
    text = SPEC.format(name=name, queue=QUEUE, pool=kind.pool, slots=kind.slots, recoveries=kind.recoveries)
    path.write_text(text, encoding="utf-8")
    return path


def windrow_command(kind: Kind, folder: Path, entry: Sequence[str]) -> list[str]:
    """`windrow worker` with a spec of its own; `entry` in place of `-m windrow.cli`."""
    name = f"{kind.pool}-{kind.slots}"
    spec = write_spec(kind, folder / f"{name}.yaml", name)
    return [*(entry or ("-m", "windrow.cli")), "worker", name, "-f", str(spec)]


def celery_command(kind: Kind, name: str) -> list[str]:
    """`celery worker`: prefork, or threads in place of Windrow's other pools."""
    pool = "prefork" if kind.pool == "prefork" else "threads"
    flags = ["-Q", QUEUE, "-c", str(kind.slots), "-P", pool, "-Ofair", "--without-mingle", "--without-gossip", "-n", name]
    return ["-m", "celery", "-A", "tests.chaos.tasks:app", "worker", "-l", "INFO", *flags]


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
