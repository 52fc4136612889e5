"""The agent as tests have it: started, stopped, and its record read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.workers import ROOT
from windrow.local.processes import launch, stop


@dataclass
class Agent:
    """The process that plays the workers of a namespace's pods (`None`: of all namespaces')."""

    folder: Path
    kubeconfig: Path
    namespace: str | None
    redis_url: str
    start_seconds: float = 0.0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Play from now on."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "tests.cluster.agent", "--kubeconfig", str(self.kubeconfig), "--redis-url", self.redis_url,
            "--record", str(self.folder / "record.jsonl"), "--start-seconds", str(self.start_seconds),
            *(["--namespace", self.namespace] if self.namespace else []),
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = launch(command, log=self.folder / "agent.log", death_signal=signal.SIGKILL, env=environment, cwd=ROOT)

    def stop(self) -> None:
        """Stop playing; pods stay as they are."""
        if self.process is not None:
            stop(self.process, [(signal.SIGTERM, 2.0)])

    def record(self, what: str | None = None, *, since: float = 0.0, name: str | None = None) -> list[dict[str, Any]]:
        """What happened to workers, in order: see `tests.cluster.agent.__main__`; `since` is seconds since 1970."""
        path = self.folder / "record.jsonl"
        if not path.exists():
            return []
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        return [
            line for line in lines
            if what in (None, line["what"]) and line["t"] >= since and name in (None, line["name"])
        ]  # fmt: skip

    def busy_removed(self, *, since: float = 0.0) -> list[dict[str, Any]]:
        """The workers that were told to end, or killed, with tasks in flight: what must never be."""
        return [line for line in self.record(since=since) if line["what"] in ("terminating", "killed") and line["busy"]]

    def log(self) -> str:
        """What it logged, and the last of its record."""
        log = self.folder / "agent.log"
        text = log.read_text(encoding="utf-8", errors="replace")[-4000:] if log.exists() else ""
        return text + "\n" + "\n".join(json.dumps(line) for line in self.record()[-50:])
