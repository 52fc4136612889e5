"""The row `idle_core_pct`: CPU of the whole platform at rest, one idle worker on each of four queues, terminal view on."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import measure
from benchmarks.stack import ROOT, folder, until
from benchmarks.startup import platform, urls

QUEUES = ("high-priority", "default", "file-queue", "long-running")
SPECS = "---\n".join(
    f"apiVersion: windrow.dev/v1alpha1\nkind: QueueWorker\nmetadata: {{name: {name}}}\n"
    "spec: {app: 'benchmarks.windrowed:app', concurrency: 2, scaling: {minReplicas: 1, maxReplicas: 2}}\n"
    for name in QUEUES
)
SETTLE = 10.0
"""Seconds between the last worker's start and the first reading."""


@dataclass(frozen=True)
class Share:
    """Percent of one core, in all and by process name."""

    percent: float
    by_process: dict[str, float]


def core_percent(seconds: float, say: Callable[[str], None]) -> Share:
    """Watch a platform at rest for `seconds`; raises TimeoutError when its workers don't come up."""
    with folder("windrow-idle-") as made:
        state = made / "state"
        command, environment = platform(state, SPECS)
        leader, follower = pty.openpty()
        os.environ.setdefault("TERM", "xterm-256color")
        up = subprocess.Popen(
            command,
            env={**environment, "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40"},
            cwd=ROOT,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        threading.Thread(target=_drain, args=(leader,), daemon=True).start()
        try:
            until(lambda: _workers(state) >= len(QUEUES), 60, "one worker stands on each queue", up)
            say(f"idle: {len(QUEUES)} workers up; reading for {seconds:.0f} s after {SETTLE:.0f} s of rest")
            time.sleep(SETTLE)
            processes = measure.platform_processes(up.pid, state)
            first, began = _each(processes), time.monotonic()
            time.sleep(seconds)
            last, lasted = _each(measure.platform_processes(up.pid, state)), time.monotonic() - began
            used: Counter[str] = Counter()
            for pid, (name, cpu) in last.items():
                used[name] += cpu - first.get(pid, (name, 0.0))[1]
            shares = {name: round(cpu / lasted * 100, 3) for name, cpu in used.most_common()}
            say(f"idle: {shares}")
            return Share(sum(used.values()) / lasted * 100, shares)
        finally:
            _stop(up)


def _workers(state: Path) -> int:
    stack = urls(state)
    if stack is None:
        return 0
    import redis

    try:
        return int(stack.client.hlen("windrow:workers"))
    except redis.RedisError:
        return 0


def _each(processes: list[psutil.Process]) -> dict[int, tuple[str, float]]:
    """CPU of each process, children that ended included only where they were waited for."""
    found = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            found[process.pid] = (_called(process), measure.cpu_seconds([process]))
    return found


def _called(process: psutil.Process) -> str:
    words = process.cmdline()
    for name in ("worker", "server", "up"):
        if name in words or f"windrow.{name}" in words:
            return f"windrow {name}"
    return "postgres" if "postgres" in process.name() else process.name()


def _drain(terminal: int) -> None:
    with suppress(OSError):  # the other side closed
        while os.read(terminal, 65536):
            pass


def _stop(up: subprocess.Popen[bytes]) -> None:
    if up.poll() is None:
        up.send_signal(signal.SIGTERM)
    try:
        up.wait(30)
    except subprocess.TimeoutExpired:
        up.kill()
        up.wait()
