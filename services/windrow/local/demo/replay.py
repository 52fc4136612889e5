"""The replay itself: publishes each arrival at its time, counts what was accepted, and notes how many workers there were."""

from __future__ import annotations

import heapq
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import redis
from celery import Celery

from windrow.authoring.install import install
from windrow.broker.client import Client
from windrow.broker.observe import workers
from windrow.local.demo.arrivals import SERIES, Arrival
from windrow.local.demo.inputs import LATE_SECONDS, Place, call, put_late
from windrow.local.platform import Platform

SAMPLE_SECONDS = 0.2


@dataclass
class Accepted:
    """What the producer knows: the task ids it got, and how many each queue took."""

    ids: list[str] = field(default_factory=list)
    by_queue: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        """All queues together."""
        return sum(self.by_queue.values())


def publish(plan: Sequence[Arrival], place: Place, platform: Platform, stop: threading.Event) -> Accepted:
    """Publish each arrival at its time until the plan is through or `stop` is set; a call that raises is not accepted.

    Returns when the last late file is in its place.
    """
    app = install(Celery("windrow-demo", set_as_current=False), platform.redis_url, platform.key_prefix)
    accepted, late = Accepted(), list[tuple[float, str]]()
    began = time.monotonic()
    for arrival in plan:
        _wait(began + arrival.at, place, late, stop)
        if stop.is_set():
            break
        made = call(arrival, place)
        sent = app.send_task(made.task, made.args, queue=arrival.queue, ignore_result=True)
        accepted.ids.append(str(sent.id))
        accepted.by_queue[arrival.queue] += 1
        if made.late is not None:
            heapq.heappush(late, (time.monotonic() + LATE_SECONDS, made.late))
    while late:
        _wait(late[0][0], place, late, stop)
    app.close()
    return accepted


def _wait(until: float, place: Place, late: list[tuple[float, str]], stop: threading.Event) -> None:
    """Wait until a time, and put late files into their places meanwhile; what is late is put at once when stopped."""
    while True:
        now = time.monotonic()
        while late and (late[0][0] <= now or stop.is_set()):
            put_late(place, heapq.heappop(late)[1])
        left = min([until, *(at for at, _ in late[:1])]) - now
        if until <= now or stop.is_set():
            return
        stop.wait(min(left, 0.5))


class WorkerCount(threading.Thread):
    """Looks at the registered workers several times a second; `most` and `now` are by queue."""

    def __init__(self, client: Client) -> None:
        super().__init__(name="demo-worker-count", daemon=True)
        self.most: Counter[str] = Counter()
        self.now: Counter[str] = Counter()
        self._client = client
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Look until `end`."""
        while not self._stop_asked.wait(SAMPLE_SECONDS):
            try:
                self.look()
            except redis.RedisError:
                continue  # away for a moment; the next look tells

    def look(self) -> Counter[str]:
        """Look once."""
        self.now = Counter(worker.queue for worker in workers(self._client) if worker.queue in SERIES)
        for queue, count in self.now.items():
            self.most[queue] = max(self.most[queue], count)
        return self.now

    def end(self) -> None:
        """Look no more."""
        self._stop_asked.set()
        self.join(5)
