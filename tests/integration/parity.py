"""A stock Celery worker and a Windrow worker for the same tasks, so that a test's body can be run against both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.apps import parity
from tests.waiting import wait_until
from tests.workers import ROOT, Work, working
from windrow.authoring.install import install

KINDS = ("celery", "windrow")


@dataclass
class Side:
    """One kind of worker, its app in this process, and what its tasks wrote."""

    kind: str
    app: Any
    work: Work
    process: subprocess.Popen[bytes]

    def task(self, name: str) -> Any:
        """A task of `tests.apps.parity`."""
        return self.app.tasks[f"parity.{name}"]

    def noted(self, what: str, task_id: str | None = None) -> list[str]:
        """What tasks noted under this word, in order: the last field of each line."""
        lines = [line for line in self.work.lines() if line[2] == what and task_id in (None, line[3])]
        return [line[4] if len(line) > 4 else line[3] for line in lines]


def sides(
    kind: str, redis_url: str, folder: Path, concurrency: int = 2, env: dict[str, str] | None = None, more: str = ""
) -> Iterator[Side]:
    """A worker of this kind on the queue `work`."""
    app = parity.make()
    app.conf.update(broker_url=redis_url, result_backend=redis_url)
    with working(redis_url, folder, app="tests.apps.parity:app", more=more) as work:
        env = {"PARITY_WORKER": "1", **(env or {})}
        if kind == "windrow":
            install(app, redis_url)
            process = work.start(concurrency=concurrency, env=env)
        else:
            process = _stock(work, concurrency, env)
        wait_until(lambda: app.control.inspect(timeout=2, limit=1).ping(), 20, "remote control answers")
        yield Side(kind, app, work, process)
        app.close()


def _stock(work: Work, concurrency: int, env: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable, "-m", "celery", "-A", "tests.apps.parity", "worker", "-Q", "work", "-c", str(concurrency), "-l", "INFO",
        *env.pop("CELERY_FLAGS", "").split(),
    ]  # fmt: skip
    settings = {**os.environ, "REDIS_URL": work.url, "EVIDENCE": str(work.evidence), "PYTHONPATH": str(ROOT), **env}
    with (work.folder / "workers.log").open("ab") as log:
        process = subprocess.Popen(command, env=settings, stdout=log, stderr=log, start_new_session=True, cwd=ROOT)
    work.processes.append(process)
    return process
