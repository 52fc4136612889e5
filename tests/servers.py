"""Real server processes, for tests that need no database."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_until
from windrow.broker.client import connect

NOWHERE = "postgresql://nobody@127.0.0.1:9/nothing"
"""A database that is away: leading, recovery and the word to workers need none."""


@contextmanager
def leading(redis_url: str, folder: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `windrow server` that leads."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"REDIS_URL": redis_url, "DATABASE_URL": NOWHERE, "WINDROW_STATE": str(folder), **env}
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "windrow.server"], env={**os.environ, **settings}, stdout=log, stderr=log
        )
    try:
        client = connect(redis_url)
        wait_until(lambda: client.get("windrow:server"), 60, "the server leads")
        yield server
    finally:
        server.kill()
        server.wait()
