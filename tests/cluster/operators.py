"""The real operator in processes of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.setting import IMAGE, SECRET
from tests.workers import ROOT
from windrow.local.processes import launch, stop


@dataclass
class Operators:
    """The replicas of one operator, each a process with a log."""

    folder: Path
    kubeconfig: Path
    """Of its account."""
    namespace: str
    """Where its Lease is, and what it watches unless `env` says something else."""
    redis_url: str
    command: Sequence[str] = (sys.executable, "-m", "windrow_operator")
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _told: set[int] = field(default_factory=set)

    def start(self, *flags: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start one more replica; nothing is waited for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "KUBECONFIG": str(self.kubeconfig),
            "REDIS_URL": self.redis_url,
            "WINDROW_OPERATOR_NAMESPACE": self.namespace,
            "WINDROW_WATCH_NAMESPACES": self.namespace,
            "WINDROW_WORKER_IMAGE": IMAGE,
            "WINDROW_WORKER_SECRET": SECRET,
            **(env or {}),
        }
        process = launch(
            [*self.command, *flags],
            log=self.log_of(len(self.processes)),
            death_signal=signal.SIGKILL,
            env={**{name: value for name, value in os.environ.items() if not name.startswith("WINDROW_")}, **settings},
            cwd=ROOT,
        )
        self.processes.append(process)
        return process

    @property
    def alive(self) -> list[subprocess.Popen[bytes]]:
        """The replicas that run."""
        return [process for process in self.processes if process.poll() is None]

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """SIGKILL one replica."""
        self._told.add(process.pid)
        process.kill()
        process.wait()

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM one replica and wait for its end; answers its exit code."""
        self._told.add(process.pid)
        process.send_signal(signal.SIGCONT)
        return stop(process, [(signal.SIGTERM, 10.0)])

    def stop(self) -> None:
        """Stop all that still run, side by side."""
        for process in self.alive:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes:
            self.end(process)

    def fallen(self) -> list[str]:
        """The replicas that ended though nobody told them to: which one, and its exit code."""
        ended = [(number, one) for number, one in enumerate(self.processes) if one.poll() is not None]
        return [f"operator {number} ended with {one.returncode}" for number, one in ended if one.pid not in self._told]

    def log_of(self, number: int) -> Path:
        """Where a replica logs, by the order of their starts."""
        return self.folder / f"operator-{number}.log"

    def log(self) -> str:
        """The last of what each logged."""
        texts = []
        for number in range(len(self.processes)):
            text = self.log_of(number).read_text(encoding="utf-8", errors="replace")
            texts.append(f"--- operator {number}\n{text[-8000:]}")
        return "\n".join(texts)
