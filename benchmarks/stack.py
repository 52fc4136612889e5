"""The servers that both sides share, and the processes of one turn: in sessions of their own, always stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil
import redis

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stack:
    """One Redis and one PostgreSQL, and the folder of a run's logs and counters."""

    redis_url: str
    database_url: str
    folder: Path

    @property
    def client(self) -> redis.Redis:
        """A client of the shared Redis."""
        return redis.Redis.from_url(self.redis_url)

    def empty(self) -> None:
        """Take everything out of Redis but what says that it is still the same one: else the server would look for a loss."""
        client = self.client
        kept = (b"windrow:marker", b"windrow:events")
        while keys := [key for key in client.scan_iter(count=1000) if key not in kept]:
            for first in range(0, len(keys), 1000):
                client.unlink(*keys[first : first + 1000])

    @property
    def counter(self) -> Path:
        """The file whose size is the count of ended bodies."""
        return self.folder / "count"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What each process of a turn gets."""
        return {
            **os.environ,
            "REDIS_URL": self.redis_url,
            "DATABASE_URL": self.database_url,
            "WINDROW_STATE": str(self.folder),
            "BENCH_COUNTER": str(self.counter),
            "PYTHONPATH": str(ROOT),
            **(extra or {}),
        }

    def redis_pid(self) -> int:
        """Process id of the shared Redis."""
        return int(self.client.info("server")["process_id"])

    def postgres_pid(self) -> int:
        """Process id of PostgreSQL's first process, the parent of all others."""

        async def ask() -> int:
            connection = await asyncpg.connect(self.database_url)
            try:
                return psutil.Process(await connection.fetchval("select pg_backend_pid()")).ppid()
            finally:
                await connection.close()

        return asyncio.run(ask())

    def ask(self, statement: str) -> int:
        """The number that one SQL statement gives."""

        async def run() -> int:
            connection = await asyncpg.connect(self.database_url)
            try:
                return int(await connection.fetchval(statement))
            finally:
                await connection.close()

        return asyncio.run(run())

    def execute(self, script: str) -> None:
        """Run SQL statements in one transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(self.database_url)
            try:
                await connection.execute(script)
            finally:
                await connection.close()

        asyncio.run(run())


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """A folder for one run that PostgreSQL's unprivileged account can reach; removed at the end."""
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as made:
        if os.geteuid() == 0:
            Path(made).chmod(0o711)
        yield Path(made)


@contextmanager
def start(folder: Path) -> Iterator[Stack]:
    """The embedded servers, in a folder of their own."""
    from windrow.local.servers import EmbeddedPostgres, EmbeddedRedis

    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as servers:
        broker, database = EmbeddedRedis(folder), EmbeddedPostgres(folder)
        servers.callback(broker.stop)
        broker_url = broker.start()
        servers.callback(database.stop)
        yield Stack(broker_url, database.start(), folder)


@contextmanager
def process(
    arguments: list[str], environment: Mapping[str, str], log: Path, *, grace: float = 5.0
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, its output in `log`; SIGTERM at the end, SIGKILL `grace` s later."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            arguments, env=dict(environment), cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield child
    finally:
        family = _family(child.pid)
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            pass  # bare Celery's warm shutdown can stall; what is measured is over
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
        child.wait()


def _family(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return []


def until(condition: Callable[[], object], timeout: float, what: str, alive: subprocess.Popen[bytes] | None = None) -> None:
    """Poll `condition` until it is true; raises TimeoutError naming `what`, or RuntimeError when `alive` has ended."""
    deadline = time.monotonic() + timeout
    while not condition():
        if alive is not None and alive.poll() is not None:
            raise RuntimeError(f"the process must live until {what}, it ended with {alive.returncode}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} must happen within {timeout:.0f} s")
        time.sleep(0.05)


def produce(stack: Stack, side: str, task: str, count: int, *how: str) -> float:
    """Publish from a process of its own, by `delay()` or, with `adelay`, awaited; returns seconds for each call."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.produce", side, task, str(count), *how],
        env=stack.environment(),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(json.loads(done.stdout.splitlines()[-1]))
