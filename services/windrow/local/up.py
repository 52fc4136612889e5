"""`windrow up`: the whole platform on this machine, in the foreground, until it is told to stop."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import windrow.local.platform as platforms
from windrow.local.apps import check_apps
from windrow.local.foundation import Foundation, import_the_rest, specs_copy
from windrow.local.platform import Platform
from windrow.local.ports import check_port
from windrow.local.signals import Signals
from windrow.local.terminal import Display, display
from windrow.queues import QueueWorker
from windrow.settings import Settings

logger = logging.getLogger(__name__)

INTERRUPTED = 130
"""The exit code of a platform that was stopped before it was up."""


def run(
    specs: Sequence[QueueWorker],
    settings: Settings,
    *,
    on_ready: Callable[[Platform], None] | None = None,
    until: Callable[[], bool] | None = None,
    show: Display | None = None,
) -> int:
    """Run the platform until SIGINT or SIGTERM, or until `until()` (asked each second) is true; returns the exit code.

    A first signal drains: running tasks finish, records catch up, every process ends. A second one stops at once and gives back
    what runs. `on_ready` is called when both servers answer and the tables are there. Call it from the main thread.
    Raises SpecError, `StateInUse`, `PortInUse`, `ServerFailed` or `Unreachable` before anything of Windrow's runs.
    """
    check_apps(specs, meanwhile=import_the_rest)
    check_port(settings.host, settings.port)
    with Signals() as signals, ExitStack() as undo:
        try:
            foundation = undo.enter_context(Foundation(settings))
        except KeyboardInterrupt:
            return INTERRUPTED
        signals.settled = True
        from windrow.local.life import Life

        undo.callback(_journal(foundation.logs))
        platform = Platform(
            redis_url=foundation.redis_url,
            database_url=foundation.database_url,
            key_prefix=settings.key_prefix,
            queues={spec.name: spec.spec.queue for spec in specs},
            state_dir=foundation.state_dir,
        )
        shown = display() if show is None else show
        undo.callback(shown.close)

        def ready() -> None:
            platforms.announce(platform, foundation.state_dir)
            if on_ready is not None:
                on_ready(platform)

        undo.callback(platforms.withdraw, foundation.state_dir)
        with Life(specs, foundation, _environment(platform, specs), signals, shown) as life:
            life.serve(until, ready)
    return 0


def _environment(platform: Platform, specs: Sequence[QueueWorker]) -> Mapping[str, str]:
    """The environment of the platform's processes; `WINDROW_SPECS` is the copy of the file that the specs stand in."""
    assert platform.state_dir is not None  # noqa: S101 - made by `run`
    made = {
        **os.environ,
        "REDIS_URL": platform.redis_url,
        "DATABASE_URL": platform.database_url,
        "WINDROW_KEY_PREFIX": platform.key_prefix,
        "WINDROW_STATE": str(platform.state_dir),
        "WINDROW_WORKER_METRICS_PORT": "0",
    }
    made.pop("WINDROW_SPECS", None)
    source = specs[0].source if specs else None
    if source is not None:
        made["WINDROW_SPECS"] = str(specs_copy(Path(source.file), platform.state_dir))
    return made


def _journal(folder: Path) -> Callable[[], None]:
    """Log what the supervisor does to `supervisor.log`; returns what undoes it."""
    handler = logging.FileHandler(folder / "supervisor.log")
    (folder / "supervisor.log").chmod(0o600)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("windrow.local")
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    def undo() -> None:
        log.removeHandler(handler)
        handler.close()

    return undo
