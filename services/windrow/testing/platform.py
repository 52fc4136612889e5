"""The platform under a test session: embedded servers, Windrow's tables, the server process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from windrow.authoring.install import install
from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis
from windrow.records.migrate import migrate
from windrow.testing.executions import ExecutionRecord, find_execution
from windrow.testing.waiting import wait_for

_SERVER_SECONDS = 30.0
_END_SECONDS = 10.0


class Platform:
    """Servers that live from `__enter__` to `__exit__`, and what a test asks of them."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds all they keep, and their logs."""
        self.folder = folder
        self._redis = EmbeddedRedis(folder)
        # These databases live for one test session: they need not survive the loss of power.
        self._postgres = EmbeddedPostgres(
            folder, settings={"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._undo = contextlib.ExitStack()

    @property
    def redis_url(self) -> str:
        """The broker."""
        return self._redis.url

    @property
    def database_url(self) -> str:
        """The database, with Windrow's tables in schema `windrow`."""
        return self._postgres.url

    def install(self, app: Any) -> Any:
        """Make `app` publish to this platform, and the current app of the tests; returns it."""
        app.set_current()
        app.set_default()
        return install(app, self.redis_url)

    def environment(self) -> dict[str, str]:
        """The environment of a process that belongs to this platform."""
        return {
            **os.environ,
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "WINDROW_STATE": str(self.folder),
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        }

    def spawn(self, *arguments: str, log: str) -> subprocess.Popen[bytes]:
        """Start a Python process of this platform, in a session of its own; its output goes to the log of that name."""
        with self.log(log).open("ab") as file:
            return subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, *arguments], env=self.environment(), stdout=file, stderr=file, start_new_session=True
            )

    def log(self, name: str) -> Path:
        """Where a process of this platform logs."""
        folder = self.folder / "logs"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.log"

    def execution(
        self, task: Any, timeout: float = 30.0, until: Callable[[ExecutionRecord], bool] | None = None
    ) -> ExecutionRecord:
        """The newest record of a task id (or of a result) once it is final, or once `until` holds; fails after `timeout` s."""
        task_id = str(getattr(task, "id", task))
        wanted = until or (lambda record: record.final)

        def look() -> ExecutionRecord | None:
            found = find_execution(task_id)
            return found if found is not None and wanted(found) else None

        return wait_for(look, timeout, lambda: f"the record of {task_id}: {find_execution(task_id)}; logs in {self.folder}")

    def __enter__(self) -> Self:
        try:
            self._redis.launch()
            self._postgres.start()
            self._redis.ready()
            migrate(self.database_url)
            self._set_environment()
            self._start_server()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop()

    def _set_environment(self) -> None:
        for name in ("REDIS_URL", "DATABASE_URL"):
            old = os.environ.get(name)
            os.environ[name] = self.environment()[name]
            self._undo.callback(_restore, name, old)

    def _start_server(self) -> None:
        file = self.folder / "server.json"
        self._server = server = self.spawn("-m", "windrow.server", log="server")
        wait_for(
            lambda: file.exists() or server.poll() is not None,
            _SERVER_SECONDS,
            lambda: f"the server's address in {file}; its log is {self.log('server')}",
        )
        if server.poll() is not None:
            raise RuntimeError(f"the server must run, and ended with code {server.returncode}: see {self.log('server')}")

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            end_process(server, _END_SECONDS)
        self._undo.close()
        self._postgres.stop()
        self._redis.stop()


def end_process(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask the process to end, and make it when it has not after `seconds`."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _restore(name: str, value: str | None) -> None:
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value
