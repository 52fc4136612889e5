"""A replay with the platform it needs: one that runs on the state folder, or one of its own around it."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path

import windrow.local.platform as platforms
import windrow.local.up as up
from windrow.local.demo.outcome import Outcome
from windrow.local.demo.run import SPECS, Replay, replay
from windrow.local.platform import Platform
from windrow.local.terminal import Display, display
from windrow.queues import load_specs
from windrow.settings import Settings

logger = logging.getLogger(__name__)


class Session:
    """One `windrow demo`; `outcome` is there after `run`, or else `error` says why it is not.

    Raises ValueError when the series don't hold so many seconds at that speed-up.
    """

    def __init__(self, settings: Settings, seconds: float, speedup: float, *, stay: bool) -> None:
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self._settings, self._stay = settings, stay
        self._replay = Replay.of(seconds, speedup)
        self._stop = threading.Event()
        self._url: str | None = None
        self._thread: threading.Thread | None = None
        # Standard output is for the result alone.
        self._display: Display = display(sys.stdout if stay else sys.stderr)

    def run(self) -> int:
        """Replay; returns an exit code. Raises what `windrow.local.up.run` raises before anything runs."""
        running = platforms.find(self._settings.state_dir)
        if running is not None:
            self._work(running)
            return 0
        specs = load_specs(SPECS)
        code = up.run(specs, self._settings, on_ready=self._begin, until=self._over, show=self._display)
        if self._thread is not None and self._thread.is_alive():  # stopped in the middle: there is nothing to sum up
            self._stop.set()
            self._thread.join(10)
            self.outcome = self.error = None
            return code or up.INTERRUPTED
        return code

    def where(self) -> str:
        """Where records and metrics can be seen, as commands."""
        state = self._settings.state_dir
        option = "" if state == Path(".windrow") else f" --state {state}"
        return (
            f"records:  windrow up{option}, then windrow executions{option} and windrow show{option} ID\n"
            f"metrics:  /metrics on the address that windrow up{option} names\n"
            f"logs:     {state / 'logs'}"
        )

    def _begin(self, platform: Platform) -> None:
        self._thread = threading.Thread(target=self._work, args=(platform,), name="demo", daemon=True)
        self._thread.start()

    def _work(self, platform: Platform) -> None:
        try:
            self.outcome = replay(self._replay, platform, self._stop, self._display.say)
        except Exception as error:
            logger.exception("the replay broke off")
            self.error = error

    def _over(self) -> bool:
        return not self._stay and self._thread is not None and not self._thread.is_alive()
