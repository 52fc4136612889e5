"""Real workers in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from windrow.broker.client import connect
from windrow.broker.observe import workers as registered
from windrow.queues.model import API_VERSION, KIND
from windrow.testing.platform import Platform, end_process
from windrow.testing.waiting import wait_for

_START_SECONDS = 60.0
_DRAIN_SECONDS = 60.0


@dataclass
class WorkerProcess:
    """A worker that a test started."""

    process: subprocess.Popen[bytes]
    queue: str
    log: Path
    redis_url: str = field(repr=False)

    @property
    def pid(self) -> int:
        """Its main process."""
        return self.process.pid

    def ready(self) -> None:
        """Wait until it takes tasks; raises RuntimeError when it has ended instead."""
        with connect(self.redis_url) as client:
            wait_for(
                lambda: self.process.poll() is not None or any(one.pid == self.pid for one in registered(client)),
                _START_SECONDS,
                lambda: f"a worker that serves {self.queue!r}; its log is {self.log}",
            )
        if self.process.poll() is not None:
            raise RuntimeError(f"the worker must run, and ended with code {self.process.returncode}: see {self.log}")

    def stop(self) -> None:
        """Drain it: running tasks finish, then the process ends. Does nothing when it has ended."""
        end_process(self.process, _DRAIN_SECONDS)


class Workers:
    """The workers of a test session."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._started: dict[str, WorkerProcess] = {}

    def start(self, app: Any, queue: str = "celery", concurrency: int = 2, *, wait: bool = True, **spec: Any) -> WorkerProcess:
        """A worker of `app` on `queue`; the one that runs already, when it was started with the same words.

        With `wait` it takes tasks when this returns.
        """
        document = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": queue.lower().replace("_", "-")},
            "spec": {"queue": queue, "app": app_path(app), "concurrency": concurrency, **spec},
        }
        text = json.dumps(document, sort_keys=True)
        worker = self._started.get(text)
        if worker is None or worker.process.poll() is not None:
            worker = self._started[text] = self._spawn(text, queue)
        if wait:
            worker.ready()
        return worker

    def _spawn(self, text: str, queue: str) -> WorkerProcess:
        name = f"worker-{len(self._started)}-{queue}"
        file = self._platform.folder / f"{name}.yaml"
        file.write_text(text, encoding="utf-8")
        process = self._platform.spawn("-m", "windrow.testing.serve", str(file), log=name)
        return WorkerProcess(process, queue, self._platform.log(name), self._platform.redis_url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self._started.values():
            if worker.process.poll() is None:
                worker.process.terminate()
        for worker in self._started.values():
            worker.stop()


def app_path(app: Any) -> str:
    """`module:name` of a Celery app; a path is itself. Raises ValueError for an app that no module holds."""
    if isinstance(app, str):
        return app
    for module_name, module in list(sys.modules.items()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if value is app:
                return f"{module_name}:{name}"
    raise ValueError(
        f"the app must be one that a worker can import, a variable of a module, and {app!r} is none: give its path"
    )
