"""One played worker: takes real messages through the broker's own taker, holds each for its run time, and ends it."""

from __future__ import annotations

import base64
import json
import secrets
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis

from windrow.broker import events
from windrow.broker.client import Client
from windrow.broker.inflight import Taken
from windrow.broker.lease import DEAD
from windrow.broker.scripts import load
from windrow.broker.taker import Taker
from windrow.worker.settle import leave

VERSION = "0-played"


@dataclass(frozen=True)
class Place:
    """What a pod says about its worker."""

    namespace: str
    pod: str
    uid: str
    name: str
    queue: str
    slots: int
    redis_url: str
    key_prefix: str


class PlayedWorker:
    """A worker without a pool: a task is its run time in seconds (its first argument), nothing else."""

    def __init__(self, place: Place, client: Client, hub: Any, on_ended: Callable[[], None]) -> None:
        """`on_ended` is called once when it was told to end and has nothing in flight any more."""
        self.place, self._client, self._hub, self._on_ended = place, client, hub, on_ended
        letters = "".join(secrets.choice(string.ascii_lowercase) for _ in range(8))
        self.id = f"{place.queue}/{place.pod}/1/{letters}"
        self.busy = self.done = self.beats = 0
        self.run: float | None = None
        self.drain: str | None = None
        """What Redis says of it: None, `asked` or `drained`."""
        self.ending = False
        self._left = False
        info = {
            "queue": place.queue, "name": place.name, "host": place.pod, "pid": 1, "slots": place.slots, "metrics": None,
            "started": time.time(), "version": VERSION,
        }  # fmt: skip
        self.taker = Taker(
            make_connection=_connections(place.redis_url),
            keys=client.keys_of,
            worker=self.id,
            queue=place.queue,
            info=json.dumps(info),
            slots=place.slots,
            on_idle=self._idle,
            on_gone=self._gone,
        )

    def start(self) -> None:
        """Register, and take tasks from now on."""
        self._client.sadd(self._client.keys_of.queues, self.place.queue)
        self.taker.attach(self._hub)
        self.taker.consume(self._deliver)

    def end(self) -> None:
        """As SIGTERM does: nothing more is taken, what runs ends."""
        if not self.ending:
            self.ending = True
            self.taker.stop_taking()

    def beat(self, pipe: Any) -> None:
        """Put a beat into a pipeline."""
        self.beats += 1
        keys = self._client.keys_of
        names = [keys.epochs, keys.beats, keys.gone, keys.server, keys.events, keys.most_events, keys.behind]
        state = {
            "n": self.beats,
            "busy": self.busy,
            "taken": len(self.taker.inflight.messages),
            "done": self.done,
            "run": self.run,
        }
        load("beat")(pipe, names, [self.id, json.dumps(state, separators=(",", ":"))])

    def beaten(self, answer: list[Any]) -> None:
        """What Redis said to it."""
        if answer[0] == DEAD:
            self._gone()

    def _deliver(self, taken: Taken) -> None:
        message = json.loads(taken.message)
        headers = message["headers"]
        arguments = json.loads(base64.b64decode(message["body"]))[0]
        seconds = float(arguments[0]) if arguments else 0.0
        execution = headers.get("windrow", {}).get("id") or events.new_id()
        began = time.time()
        self.busy += 1
        note = {
            "id": execution, "attempt": events.new_id(), "queue": taken.queue, "task": headers["task"], "t": began,
            "early": False,
        }  # fmt: skip
        self.taker.say("S", taken.tag, events.encode(note))
        self._hub.call_later(seconds, self._end, taken, note)

    def _end(self, taken: Taken, note: dict[str, Any]) -> None:
        now = time.time()
        run = now - note["t"]
        self.busy -= 1
        self.done += 1
        self.run = run if self.run is None else self.run + (run - self.run) * 0.1
        event = {
            "k": events.ENDED, "id": note["id"], "t": now, "attempt": note["attempt"], "outcome": "success", "state": "success",
            "queue": note["queue"], "task": note["task"], "worker": self.id, "pid": 1, "retries": 0, "nesting": 0,
            "recoveries": 0, "started": note["t"], "run": run,
        }  # fmt: skip
        self.taker.say("F", taken.tag, events.encode(event), note["id"], *taken.ending)

    def kill(self) -> None:
        """As SIGKILL does: it says nothing, and what it had in flight is recovery's."""
        self._left = True
        taker = self.taker
        taker._attached += 1  # its ticks end
        if taker._wire is not None:
            self._hub.remove(taker._wire.fileno())
            taker._wire.close()
        taker._wire = taker._hub = None

    def _idle(self) -> None:
        if self._left:
            return
        try:
            left = leave(self._client, self.id)
        except redis.RedisError:
            self._hub.call_later(1.0, self._idle)
            return
        assert left == 0, f"{self.id} has {left} in flight, and it said none"
        self._left = True
        self.kill()
        self._on_ended()

    def _gone(self) -> None:
        if not self._left:
            self.kill()
            self._on_ended()


def _connections(url: str) -> Callable[[int], redis.Connection]:
    pool = redis.ConnectionPool.from_url(url, socket_timeout=3, socket_connect_timeout=1)

    def make(protocol: int) -> redis.Connection:
        connection: redis.Connection = pool.connection_class(**{**pool.connection_kwargs, "protocol": protocol})
        return connection

    return make
