"""The lease: a worker says every second that it is alive; a worker that was silent for `SECONDS` is dead.

The leader counts the silence itself, on its own clock and only while Redis answers it, so a Redis that is away kills nobody. A
worker that gets no answer from Redis asks the leader: while Redis doesn't answer the leader either, it says "wait". With
neither, the worker ends its tasks before its silence has lasted so long that the leader may give them to others.
"""

from __future__ import annotations

import http.client
import json
import logging
import threading
import time
from collections.abc import Callable

import redis

from windrow.broker.client import Client
from windrow.broker.fence import Fence, now
from windrow.broker.scripts import load

logger = logging.getLogger(__name__)

SECONDS = 8.0
HOLD_SECONDS = 7.5
"""How long after it was sent a beat that was answered lets a worker believe that it is alive: the leader counts from when it
has seen the beat, which is later, and the rest is for ending processes."""
BEAT_SECONDS = 1.0
AGAIN_SECONDS = 0.3
"""The pause after a beat that was not answered."""
ANSWER_SECONDS = 1.0
"""How long an answer of Redis or of the leader is waited for."""

DEAD, ALIVE, UNKNOWN = 0, 1, 2


class LeaseKeeper:
    """Beats from a thread of its own, which no task and no busy event loop can starve."""

    def __init__(
        self,
        client: Client,
        worker: str,
        state: Callable[[], dict[str, object]],
        on_dead: Callable[[], None],
        fence: Fence,
    ) -> None:
        """`client` should wait no longer than `ANSWER_SECONDS`; `state()` gives what a beat says (see `windrow:beats`).

        `on_dead()` is called once, in the thread, when the worker was declared dead or its lease has ended.
        """
        self._client, self._worker, self._state, self._on_dead, self._fence = client, worker, state, on_dead, fence
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._beats = 0
        self.answered_since: float | None = None
        """Since when Redis has answered each beat (monotonic seconds); None while it does not."""
        self._leader = ""
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
        if self._thread.ident is not None:
            self._thread.join(timeout=5)
        self._fence.lift()

    def beat(self) -> int:
        """Beat once: `ALIVE`, `DEAD`, or `UNKNOWN` when the worker has not registered (yet). Raises redis.RedisError."""
        self._beats += 1
        keys = self._client.keys_of
        text = json.dumps({"n": self._beats, **self._state()}, separators=(",", ":"))
        sent = now()
        names = [keys.epochs, keys.beats, keys.gone, keys.server, keys.events, keys.most_events, keys.behind, keys.no_logs]
        answer, server = load("beat")(self._client, names, [self._worker, text])
        self._leader = server.decode()
        if answer != DEAD:
            if self._leader:
                self._fence.extend(sent + HOLD_SECONDS)
            else:
                self._fence.lift()
        return int(answer)

    def _run(self) -> None:
        away = False
        pause = 0.0
        while not self._stop.wait(pause):
            pause = BEAT_SECONDS
            try:
                with self._beating:
                    if self.beat() == DEAD:
                        break
                    away = False
                if self.answered_since is None:
                    self.answered_since = time.monotonic()
            except (redis.RedisError, OSError) as error:
                pause = AGAIN_SECONDS
                self.answered_since = None
                told = self._ask_leader()
                if not away:
                    logger.warning("the lease can't be renewed: %s; running tasks go on%s", error, told)
                away = True
            if self._fence.passed:
                break
        else:
            return
        self._on_dead()

    def _ask_leader(self) -> str:
        """Let the leader say whether Redis is away from it too; what to add to a warning."""
        if not self._leader:
            return ""
        sent = now()
        try:
            waits = ask_to_wait(self._leader, self._worker)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f" for {max(self._fence.deadline - sent, 0):.0f} s: the leading server can't be asked ({error})"
        if waits:
            self._fence.extend(sent + HOLD_SECONDS)
            return ", the leading server waits too"
        return f" for {max(self._fence.deadline - sent, 0):.0f} s: Redis answers the leading server"


def ask_to_wait(server: str, worker: str) -> bool:
    """Ask a server not to count a worker's silence; True when it promises that for `SECONDS` from now on.

    `server` is what `windrow:server` holds: host:port and a token. Raises OSError, http.client.HTTPException, ValueError.
    """
    address, _, token = server.partition(" ")
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=ANSWER_SECONDS)
    try:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        connection.request("POST", "/lease", json.dumps({"worker": worker}), headers)
        answer = connection.getresponse()
        text = answer.read(1024)
        if answer.status != 200:
            raise ValueError(f"it answered {answer.status}")
        return bool(json.loads(text)["wait"])
    except KeyError as error:
        raise ValueError(f"its answer has no {error}") from error
    finally:
        connection.close()
