"""What a platform stands on: its state folder, a Redis, a PostgreSQL with Windrow's tables. Embedded unless URLs are given."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from windrow.local.folders import FolderLock, make_folder, make_private_folder
from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis
from windrow.local.servers.base import EmbeddedServer
from windrow.settings import Settings

logger = logging.getLogger(__name__)


class Unreachable(RuntimeError):
    """REDIS_URL or DATABASE_URL must name a server that answers; correct it, or unset it to have an embedded one."""


class Migration:
    """Migrates in a thread of its own, which imports what that takes while the servers start: two seconds of the start."""

    def __init__(self) -> None:
        self._url: str | None = None
        self._known = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="migration", daemon=True)
        self._thread.start()

    def begin(self, url: str) -> None:
        """The database answers."""
        self._url = url
        self._known.set()

    def done(self) -> bool:
        """Whether the tables are there; raises what the database raised."""
        if self._thread.is_alive() or self._url is None:
            return False
        if self._error is not None:
            raise self._error
        return True

    def end(self) -> None:
        """Wait for it, or break it off before it has begun."""
        self._known.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            from windrow.records.migrate import migrate

            self._known.wait()
            if self._url is not None:
                migrate(self._url)
        except Exception as error:  # noqa: BLE001 - raised in the main thread, by `done`
            self._error = error


class Foundation:
    """Servers that run while entered; entered, it has their URLs."""

    def __init__(self, settings: Settings) -> None:
        self.state_dir = settings.state_dir.absolute()
        self.logs = self.state_dir / "logs"
        self.redis_url = settings.redis_url or ""
        self.database_url = settings.database_url or ""
        self.embeds_redis = settings.redis_url is None
        self._key_prefix = settings.key_prefix
        self._servers: list[EmbeddedServer] = []
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        """Raises `StateInUse`, `ServerFailed` or `Unreachable`; then nothing runs."""
        with ExitStack() as undo:
            make_folder(self.state_dir)
            make_private_folder(self.logs)
            lock = FolderLock(self.state_dir / "lock")
            lock.acquire()
            undo.callback(lock.release)
            broker = None if self.redis_url else EmbeddedRedis(self.state_dir)
            database = None if self.database_url else EmbeddedPostgres(self.state_dir)
            self._servers = [server for server in (broker, database) if server is not None]
            for server in self._servers:
                undo.callback(server.stop)
                server.launch()
            self._migration = Migration()
            undo.callback(self._migration.end)
            import_the_rest()
            from windrow.broker.client import connect

            if broker is not None:
                self.redis_url = broker.ready()
            self.client = connect(self.redis_url, key_prefix=self._key_prefix)
            self._check_redis()
            if database is not None:
                self.database_url = database.ready()
            self._migration.begin(self.database_url)
            self._undo = undo.pop_all()
        return self

    def migrated(self) -> bool:
        """Whether Windrow's tables are there; raises `Unreachable` when the database that was given refuses them."""
        try:
            return self._migration.done()
        except Exception as error:
            if any(isinstance(server, EmbeddedPostgres) for server in self._servers):
                raise
            raise Unreachable(
                f"DATABASE_URL must name a PostgreSQL that Windrow can use, and it says: {_line(error)}"
            ) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._undo.close()

    def revive(self) -> list[str]:
        """Launch embedded servers that have ended by themselves; their names."""
        revived = [server.name for server in self._servers if server.revive()]
        for name in revived:
            logger.warning("the embedded %s had ended and was started again; see %s.log", name, name)
        return revived

    def _check_redis(self) -> None:
        import redis

        try:
            self.client.ping()
        except redis.RedisError as error:
            raise Unreachable(f"REDIS_URL must name a Redis that answers, and it says: {_line(error)}") from error


def _line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def import_the_rest() -> None:
    """Import what the rounds need: done while others (probes, servers) are waited for, since it takes as long as they do."""
    import windrow.local.life  # noqa: F401


def specs_copy(source: Path, state_dir: Path) -> Path:
    """A copy of `windrow.yaml` in the state folder: workers that start later read what was checked, not what it has become."""
    copy = state_dir / "windrow.yaml"
    copy.write_bytes(source.read_bytes())
    return copy
