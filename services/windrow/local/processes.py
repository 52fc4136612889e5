"""Children of a platform on one machine: each in a session of its own, with a log, dying with its parent.

A session of its own, since Ctrl-C reaches every process of the terminal's group and stopping is the supervisor's to order. On
Linux the kernel signals a child when its parent dies; elsewhere, and as the net under it, `Identity` finds what was left over.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_LAUNCHER = Path(__file__).with_name("launch.py")


@dataclass(frozen=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class Identity:
    """One process, told from a later one with the same pid by the time it was made (seconds since 1970)."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Identity:
        """The identity of a live process; raises `psutil.NoSuchProcess` when there is none."""
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        """The process if it still runs, else None."""
        try:
            process = psutil.Process(self.pid)
            alive = abs(process.create_time() - self.created) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def is_gone(pid: int, since: float) -> bool:
    """Whether the process that had this pid at `since` (seconds since 1970) runs no more."""
    try:
        process = psutil.Process(pid)
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > since + 1.0
    except psutil.NoSuchProcess:
        return True


def launch(
    argv: Sequence[str],
    *,
    log: Path,
    death_signal: signal.Signals,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    account: Account | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv[0]` (an absolute path) in a session of its own, its output appended to `log`.

    `death_signal` reaches it when the calling *thread* ends (Linux): call this from a thread that lives as long as the process.
    """
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), str(int(death_signal)), str(uid), str(gid)]
    with open_log(log) as output:
        return subprocess.Popen(  # noqa: S603 - the program and its arguments are ours
            [*command, *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )


@contextmanager
def open_log(path: Path) -> Iterator[int]:
    """Open a log for appending, made with mode 0600; gives its descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def log_tail(path: Path, lines: int = 3) -> str:
    """The last lines of a log on one line, for an error's sentence."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "(no output)"
    return " / ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip()) or "(no output)"


def stop(process: subprocess.Popen[bytes], signals: Sequence[tuple[signal.Signals, float]]) -> int:
    """Send each signal in turn, waiting its seconds for the end, then SIGKILL; returns the exit code."""
    for sent, seconds in signals:
        if process.poll() is not None:
            return process.returncode
        process.send_signal(sent)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue  # the next signal is stronger
    process.kill()
    return process.wait()


def stop_leftover(identity: Identity, signals: Sequence[tuple[signal.Signals, float]]) -> None:
    """Stop a process that a former platform left behind; does nothing when it is gone."""
    for sent, seconds in [*signals, (signal.SIGKILL, 5.0)]:
        process = identity.find()
        if process is None:
            return
        process.send_signal(sent)
        deadline = time.monotonic() + seconds
        while identity.find() is not None and time.monotonic() < deadline:
            time.sleep(0.02)
