"""What both embedded servers have in common: the lock, the port, the password, the process, the end."""

from __future__ import annotations

import secrets
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from windrow.local.folders import FolderLock, identity_in, make_folder, make_private_folder, read_json, write_json
from windrow.local.processes import Identity, log_tail, stop, stop_leftover

_LAUNCH_ATTEMPTS = 3  # another process may take the free port between our look and the server's bind


class ServerFailed(RuntimeError):
    """An embedded server could not be started; the sentence says which, why, and where its log is."""


class EmbeddedServer(ABC):
    """One server that lives in `<state>/<name>`, its port, password and process in `<state>/<name>.json` (0600).

    `start()` may be split in `launch()`, which returns at once, and `ready()`, which waits: two servers then start
    side by side.
    """

    name: ClassVar[str]
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]]
    """Signals from the mildest, each with the seconds it is given."""

    def __init__(self, state_dir: Path | str) -> None:
        self.state_dir = Path(state_dir).absolute()
        self.log = self.state_dir / "logs" / f"{self.name}.log"
        self._file = self.state_dir / f"{self.name}.json"
        self._lock = FolderLock(self.state_dir / f"{self.name}.lock")
        self._process: subprocess.Popen[bytes] | None = None
        self._preparation: subprocess.Popen[bytes] | None = None
        self._known: dict[str, Any] = {}

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The server's process, None before `launch` and after `stop`."""
        return self._process

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1."""
        return int(self._known["port"])

    @property
    def password(self) -> str:
        """The generated password."""
        return str(self._known["password"])

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients connect, with the password."""

    def start(self) -> str:
        """Start and wait until it answers; returns the URL. Raises `StateInUse` or `ServerFailed`."""
        self.launch()
        return self.ready()

    def launch(self) -> None:
        """Start without waiting for its first answer. Raises `StateInUse` or `ServerFailed`."""
        make_folder(self.state_dir)
        make_private_folder(self.log.parent)
        self._lock.acquire()
        try:
            self._known = read_json(self._file)
            leftover = identity_in(self._known)
            if leftover is not None:
                stop_leftover(leftover, self.stop_signals)
            self._known.setdefault("password", secrets.token_urlsafe(24))
            self._preparation = self._prepare()
            if self._preparation is None:
                self._spawn(_free_port(self._known.get("port")))
        except BaseException:
            self.stop()
            raise

    def ready(self, timeout: float = 300.0) -> str:
        """Wait until it answers, at most `timeout` seconds (a long log takes its time to be read back); returns the URL."""
        deadline = time.monotonic() + timeout
        attempts = 1
        try:
            if self._preparation is not None:
                if self._preparation.wait() != 0:
                    raise ServerFailed(f"the embedded {self.name} must be prepared, and was not: {self._said()}")
                self._preparation = None
                self._prepared()
                self._spawn(_free_port(self._known.get("port")))
            while not self._answers():
                process = self._process
                if process is None:
                    raise ServerFailed(f"the embedded {self.name} must be launched before it is waited for")
                if process.poll() is not None:
                    if attempts == _LAUNCH_ATTEMPTS or not self._port_was_taken():
                        raise ServerFailed(
                            f"the embedded {self.name} must start, and ended with code {process.returncode}: {self._said()}"
                        )
                    attempts += 1
                    self._spawn(_free_port(None))
                if time.monotonic() > deadline:
                    raise ServerFailed(f"the embedded {self.name} must answer within {timeout:.0f} s; see {str(self.log)!r}")
                time.sleep(0.01)
        except BaseException:
            self.stop()
            raise
        return self.url

    def revive(self) -> bool:
        """Launch it again if it has ended by itself; says whether it had. Doesn't wait for its answer.

        Always on the port it had: everybody else knows that one.
        """
        if self._process is None or self._process.poll() is None:
            return False
        self._spawn(self.port)
        return True

    def stop(self) -> None:
        """Stop it in an orderly way, everything written; does nothing when it doesn't run."""
        if self._preparation is not None:
            stop(self._preparation, ())
            self._preparation = None
        if self._process is not None:
            stop(self._process, self.stop_signals)
            self._process = None
        self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def remember(self, **facts: Any) -> None:
        """Keep facts in `<state>/<name>.json`."""
        self._known.update(facts)
        write_json(self._file, self._known)

    def _spawn(self, port: int) -> None:
        self._known["port"] = port
        self._process = self._launch()
        identity = Identity.of(self._process.pid)
        self.remember(pid=identity.pid, created=identity.created)

    def _port_was_taken(self) -> bool:
        return "in use" in log_tail(self.log, lines=12)

    def _said(self) -> str:
        return f"{log_tail(self.log)}; its log is {str(self.log)!r}"

    @abstractmethod
    def _prepare(self) -> subprocess.Popen[bytes] | None:
        """Make what the server needs before it is launched for the first time; a process if that takes a while."""

    def _prepared(self) -> None:  # noqa: B027 - most servers need none
        """Called when that process has ended well."""

    @abstractmethod
    def _launch(self) -> subprocess.Popen[bytes]:
        """Start the process on `self.port`."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a client with the password is served."""


def _free_port(preferred: Any) -> int:
    """The port of last time if it is free, so that URLs people noted go on working; else any free one."""
    for port in (preferred, 0):
        if not isinstance(port, int):
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServerFailed("a TCP port on 127.0.0.1 must be free, and none is")
