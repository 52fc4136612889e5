"""A whole platform on one machine, `windrow up`, for tests of what is told about it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from celery import Celery

from tests.waiting import wait_until
from windrow.authoring.install import install
from windrow.local.platform import Platform, find, server_url

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Up:
    """A running platform: where its servers are, and the environment of a person beside it."""

    platform: Platform
    server: str
    """Its server's URL."""
    environment: dict[str, str]

    def call(self, task: str, *args: Any, queue: str, **options: Any) -> str:
        """Call a task of `tests.apps.evidence`; its task id."""
        app = install(Celery("producer"), self.platform.redis_url)
        return str(app.send_task(f"tests.apps.evidence.{task}", args, queue=queue, **options).id)


@contextmanager
def up(state: Path, folder: Path, queues: str) -> Iterator[Up]:
    """`windrow up` with these QueueWorkers, its `windrow.yaml` and log in `folder`; ended by Ctrl-C."""
    (folder / "windrow.yaml").write_text(queues, encoding="utf-8")
    hidden = ("REDIS_URL", "DATABASE_URL")
    environment = {key: value for key, value in os.environ.items() if key not in hidden and not key.startswith("WINDROW_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EVIDENCE": str(folder / "evidence"),
        "WINDROW_STATE": str(state),
        "WINDROW_PORT": "0",
    }
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(["windrow", "up"], cwd=folder, env=environment, stdout=log, stderr=log)

    def found() -> Platform | None:
        assert process.poll() is None, (folder / "up.log").read_text(encoding="utf-8")
        return find(state)

    try:
        platform = wait_until(found, 90, "the platform is up")
        yield Up(platform, wait_until(lambda: server_url(state), 60, "its server listens"), environment)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            process.kill()
