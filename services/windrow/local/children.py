"""The processes of a platform: what to run, where it logs, and what became of it. Nothing here decides."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from windrow.local.plan import Child
from windrow.local.processes import launch

_WINDROW = (sys.executable, "-m", "windrow.cli")


@dataclass(frozen=True)
class Ended:
    """A worker process that has ended; `told` when it was to."""

    name: str
    child: Child
    code: int
    told: bool


class Children:
    """The worker processes by QueueWorker, and the one server process."""

    def __init__(self, state_dir: Path, env: Mapping[str, str], specs_file: Path | None, death_signal: signal.Signals) -> None:
        """`env` is the whole environment of each process; `specs_file` is what workers read, None for the default set.

        `death_signal` is what workers get when this process dies. The gate is shut.
        """
        self._logs, self._gate = state_dir / "logs", state_dir / "gate"
        self._env, self._specs_file, self._death_signal = env, specs_file, death_signal
        self.shut_gate()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._children: dict[str, dict[int, Child]] = {}
        self._server: subprocess.Popen[bytes] | None = None

    def open_gate(self) -> None:
        """Let workers take their first task: what they stand on is there. Until then they only get ready."""
        self._gate.touch()

    def shut_gate(self) -> None:
        """Have workers that start from now on wait."""
        self._gate.unlink(missing_ok=True)

    # --- workers ---------------------------------------------------------------------------------------------------------

    def of(self, name: str) -> tuple[Child, ...]:
        """The running workers of a QueueWorker."""
        return tuple(self._children.get(name, {}).values())

    def all(self) -> list[tuple[str, Child]]:
        """Every running worker, with its QueueWorker's name."""
        return [(name, child) for name, children in self._children.items() for child in children.values()]

    def start(self, name: str, now: float, wall: float) -> None:
        """Start a worker; it takes the lowest free number of its queue, and the log of that number."""
        used = {child.number for child in self.of(name)}
        number = next(number for number in range(1, len(used) + 2) if number not in used)
        command = [*_WINDROW, "worker", name, "--gate", str(self._gate)]
        if self._specs_file is not None:
            command += ["-f", str(self._specs_file)]
        log = self._logs / f"worker-{name}-{number}.log"
        process = launch(command, log=log, death_signal=self._death_signal, env=self._env)
        self._processes[process.pid] = process
        self._children.setdefault(name, {})[process.pid] = Child(process.pid, number, now, wall)

    def register(self, name: str, workers: Mapping[int, str]) -> None:
        """Note the ids under which workers have registered, by pid."""
        for pid, worker in workers.items():
            self._children[name][pid] = replace(self._children[name][pid], worker=worker)

    def end(self, name: str, pid: int) -> None:
        """Tell a worker to end (SIGTERM); a second time tells it to stop at once."""
        self._children[name][pid] = replace(self._children[name][pid], stopping=True)
        self._processes[pid].send_signal(signal.SIGTERM)

    def kill(self, name: str, pid: int) -> None:
        """End a worker without asking; it counts as one that nobody told to."""
        self._processes[pid].kill()

    def reap(self) -> list[Ended]:
        """The workers that have ended since the last look; they are forgotten."""
        ended = []
        for name, children in self._children.items():
            for pid in list(children):
                code = self._processes[pid].poll()
                if code is not None:
                    child = children.pop(pid)
                    del self._processes[pid]
                    ended.append(Ended(name, child, code, child.stopping))
        return ended

    # --- the server ------------------------------------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start the server process."""
        self._server = launch([*_WINDROW, "server"], log=self._logs / "server.log", death_signal=signal.SIGTERM, env=self._env)

    @property
    def server(self) -> subprocess.Popen[bytes] | None:
        """The server process; None before it was started and after `forget_server`."""
        return self._server

    def forget_server(self) -> None:
        """The server process has ended."""
        self._server = None
