"""The lease: a worker says every two seconds that it is alive; a worker that was silent for `SECONDS` is dead.

The leader counts the silence itself, on its own clock and only while Redis answers it, so a Redis that is away kills nobody.
A worker that learns that it was declared dead must end its running tasks at once: others have started them again.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable

import redis

from windrow.broker.client import Client
from windrow.broker.scripts import load

logger = logging.getLogger(__name__)

SECONDS = 8.0
BEAT_SECONDS = 2.0

DEAD, ALIVE, UNKNOWN = 0, 1, 2


class LeaseKeeper:
    """Beats from a thread of its own, which no task and no busy event loop can starve."""

    def __init__(
        self,
        client: Client,
        worker: str,
        state: Callable[[], dict[str, object]],
        on_dead: Callable[[], None],
    ) -> None:
        """`state()` gives what a beat says (see `windrow:beats`); `on_dead()` is called once, in the thread."""
        self._client, self._worker, self._state, self._on_dead = client, worker, state, on_dead
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._beats = 0
        self._beating = threading.Lock()

    def quiet(self) -> threading.Lock:
        """While this is held no beat is under way: the time to fork."""
        return self._beating

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Stop beating; returns when the thread has ended."""
        self._stop.set()
        self._thread.join(timeout=5)

    def beat(self) -> int:
        """Beat once: `ALIVE`, `DEAD`, or `UNKNOWN` when the worker has not registered (yet). Raises redis.RedisError."""
        self._beats += 1
        keys = self._client.keys_of
        text = json.dumps({"n": self._beats, **self._state()}, separators=(",", ":"))
        return int(load("beat")(self._client, [keys.epochs, keys.beats, keys.gone], [self._worker, text]))

    def _run(self) -> None:
        away = False
        while not self._stop.wait(0 if self._beats == 0 else BEAT_SECONDS):
            try:
                with self._beating:
                    answer = self.beat()
            except (redis.RedisError, OSError) as error:
                if not away:
                    logger.warning("the lease can't be renewed: %s; running tasks go on", error)
                away = True
                continue
            away = False
            if answer == DEAD:
                self._on_dead()
                return
