"""A platform's life between its servers' start and end: rounds, then the drain."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from windrow.broker import admin
from windrow.local import logs, status
from windrow.local.children import Children
from windrow.local.folders import read_json, write_json
from windrow.local.foundation import Foundation
from windrow.local.plan import Crashes
from windrow.local.platform import server_url
from windrow.local.processes import stop
from windrow.local.records import RecordsPoll
from windrow.local.signals import Signals
from windrow.local.supervisor import Snapshot, Supervisor
from windrow.local.terminal import Display
from windrow.local.view import Header
from windrow.queues import QueueWorker, derive

logger = logging.getLogger(__name__)

ROUND_SECONDS = 1.0
LEAST_SECONDS = 0.1
"""Between two rounds, however many children end."""
ROTATE_SECONDS = 10.0
HURRY_SECONDS = 10.0
"""What workers have for giving back after a second signal, before they are killed."""
CATCH_UP_SECONDS = 15.0
"""What the recorder has for the events that are still to be put on record; what it leaves stays in Redis for the next start."""


class Life:
    """The processes of one platform and the loop over them."""

    def __init__(
        self,
        specs: Sequence[QueueWorker],
        foundation: Foundation,
        env: Mapping[str, str],
        signals: Signals,
        show: Display,
    ) -> None:
        self._specs, self._foundation, self._signals, self._show = specs, foundation, signals, show
        specs_file = env.get("WINDROW_SPECS")
        # An embedded Redis dies with us: a worker could finish nothing any more, and what it runs starts again after the next
        # start. With a Redis that lives on, it drains.
        death_signal = signal.SIGKILL if foundation.embeds_redis else signal.SIGTERM
        self._children = Children(foundation.state_dir, env, Path(specs_file) if specs_file else None, death_signal)
        self._supervisor = Supervisor(specs, foundation.client, self._children)
        self._records = RecordsPoll()
        self._server_crashes = Crashes()
        self._server_started = 0.0
        self._server_trouble: str | None = None
        self._rotated = time.monotonic()
        self._decisions: object = None
        self._ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Drain; at once when an error ended the rounds."""
        self.end(at_once=error is not None)

    # --- serving ---------------------------------------------------------------------------------------------------------

    def serve(self, until: Callable[[], bool] | None, on_ready: Callable[[], None]) -> None:
        """Rounds, one a second, until a signal or `until()`; `on_ready` is called when the tables are there.

        Until then workers are started, since that takes as long, and wait at the gate. Raises `Unreachable`.
        """
        self._pause_as_specified()
        while not self._signals.stops and not (until and until()):
            now = time.monotonic()
            self._foundation.revive()
            if not self._ready and self._foundation.migrated():
                self._ready = True
                self._children.open_gate()
                on_ready()
            if self._ready:
                self._keep_server(now)
            snapshot = self._supervisor.round(now, time.time())
            self._draw(snapshot, self._server_trouble)
            self._keep_decisions(snapshot)
            self._rotate(now)
            self._rest(now, ROUND_SECONDS if self._ready else LEAST_SECONDS)

    def _pause_as_specified(self) -> None:
        """Pause queues whose spec says so; resume those that were paused by an earlier spec that doesn't any more."""
        file = self._foundation.state_dir / "paused.json"
        wanted = {spec.spec.queue for spec in self._specs if spec.spec.paused}
        try:
            for queue in sorted(set(read_json(file).get("by_spec", [])) - wanted):
                admin.resume(self._foundation.client, queue)
            for queue in sorted(wanted):
                admin.pause(self._foundation.client, queue)
        except redis.RedisError as error:
            logger.warning("queues could not be paused as specified: %s", error)
        write_json(file, {"by_spec": sorted(wanted)})

    def _keep_server(self, now: float) -> None:
        process = self._children.server
        if process is not None and process.poll() is not None:
            self._server_crashes = self._server_crashes.one_more(now, now - self._server_started)
            pause = f"{self._server_crashes.pause:.0f} s"
            self._server_trouble = f"the server ended with code {process.returncode}; next start in {pause}, see server.log"
            logger.warning("%s", self._server_trouble)
            self._children.forget_server()
            process = None
        if process is None and self._server_crashes.wait(now) == 0:
            self._server_started = now
            (self._foundation.state_dir / "server.json").unlink(missing_ok=True)
            self._children.start_server()
        elif process is not None and self._server_trouble and self._url():
            self._server_trouble = None

    def _url(self) -> str | None:
        return server_url(self._foundation.state_dir)

    def _draw(self, snapshot: Snapshot, notice: str | None) -> None:
        url = self._url()
        records = self._records.look(url, snapshot)
        self._show.show(Header(str(self._foundation.state_dir), url, notice), snapshot, records)

    def _keep_decisions(self, snapshot: Snapshot) -> None:
        decisions = [(view.decision, view.starting, view.trouble) for view in snapshot.queues]
        if decisions != self._decisions:
            self._decisions = decisions
            status.keep(self._foundation.state_dir, snapshot)

    def _rotate(self, now: float) -> None:
        if now - self._rotated >= ROTATE_SECONDS:
            self._rotated = now
            logs.rotate(self._foundation.logs)

    def _rest(self, began: float, seconds: float) -> None:
        self._signals.wait(began + seconds - time.monotonic())
        early = began + LEAST_SECONDS - time.monotonic()
        if early > 0:
            time.sleep(early)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def end(self, *, at_once: bool = False) -> None:
        """Drain the workers (or have them give back what they run), let the records catch up, end the server.

        Leaves no process of its own.
        """
        enough = 0 if at_once else max(self._signals.stops, 1) + 1
        logger.info("stopping: workers finish what they run")
        began = time.monotonic()
        graces = {spec.name: derive(spec).termination_grace_s for spec in self._specs}
        for name, child in self._children.all():
            if not child.stopping:
                self._children.end(name, child.pid)
        hurried: float | None = None
        while True:
            now = time.monotonic()
            snapshot = self._supervisor.round(now, time.time(), act=False)
            left = self._children.all()
            if not left:
                break
            if hurried is None and self._signals.stops >= enough:
                logger.info("stopping at once: workers give back what they run")
                hurried = now
                for name, child in left:
                    self._children.end(name, child.pid)
            for name, child in left:
                if now - began > graces[name] or (hurried is not None and now - hurried > HURRY_SECONDS):
                    self._children.kill(name, child.pid)
            self._draw(snapshot, _draining(len(left), hurried is not None))
            self._rest(now, ROUND_SECONDS)
        self._end_server(quickly=hurried is not None)

    def _end_server(self, *, quickly: bool) -> None:
        process = self._children.server
        if process is None:
            return
        deadline = time.monotonic() + (1.0 if quickly else CATCH_UP_SECONDS)
        while process.poll() is None and time.monotonic() < deadline and self._signals.stops < 3 and self._unrecorded():
            time.sleep(0.05)
        stop(process, ((signal.SIGTERM, 10.0),))
        self._children.forget_server()

    def _unrecorded(self) -> bool:
        client = self._foundation.client
        try:
            return bool(client.xlen(client.keys_of.events))
        except redis.RedisError as error:
            logger.warning("the event stream can't be read: %s", error)
            return False


def _draining(workers: int, hurried: bool) -> str:
    count = "1 worker" if workers == 1 else f"{workers} workers"
    if hurried:
        return f"stopping at once: waiting for {count} to give back what runs"
    return f"stopping: waiting for {count} to finish; Ctrl-C again gives back what runs and stops at once"
