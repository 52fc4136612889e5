"""The agent's process: `python -m tests.cluster.agent --kubeconfig … --redis-url … --record …`.

Its record is a file of JSON lines: `{"t", "what", "pod", "namespace", "name", "busy", "drain"}`, `what` being `started`,
`drained`, `withdrawn`, `terminating` (told to end; `busy` says how many tasks it had in flight then), `ended`, `killed`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import signal
import threading
import time
from pathlib import Path
from typing import Any

import redis
from kombu.asynchronous import Hub, set_event_loop

from tests.cluster.agent.pods import Pods, running, terminating
from tests.cluster.agent.worker import PlayedWorker
from tests.cluster.api import Api, Object
from windrow.broker.client import Client, connect
from windrow.broker.scripts import load

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
LOOK_SECONDS = 0.2
"""How often drain requests are looked at, for readiness."""


class Playing:
    """All workers of one process, on one event loop."""

    def __init__(self, api: Api, namespace: str | None, redis_url: str, record: Path, start_seconds: float) -> None:
        self._hub: Any = Hub()
        set_event_loop(self._hub)
        self._heard: queue.SimpleQueue[tuple[str, Object]] = queue.SimpleQueue()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._hub.add_reader(self._wake_read, self._listen)
        self._pods = Pods(api, namespace, redis_url, self._hear)
        self._record = record.open("a", buffering=1, encoding="utf-8")
        self._start_seconds = start_seconds
        self._workers: dict[str, PlayedWorker] = {}
        self._told: set[str] = set()
        self._clients: dict[tuple[str, str], Client] = {}

    def run(self) -> None:
        """Play until the process ends."""
        self._pods.start()
        threading.Thread(target=self._beat, name="beats", daemon=True).start()
        threading.Thread(target=self._look, name="drains", daemon=True).start()
        while True:
            self._hub.run_once()

    # --- pods ------------------------------------------------------------------------------------------------------------

    def _hear(self, kind: str, pod: Object) -> None:
        self._heard.put((kind, pod))
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return

    def _listen(self) -> None:
        try:
            os.read(self._wake_read, 65536)
        except BlockingIOError:
            pass
        while not self._heard.empty():
            kind, pod = self._heard.get()
            try:
                self._look_at(kind, pod)
            except Exception:
                logger.exception("pod %s", pod["metadata"]["name"])

    def _look_at(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        worker = self._workers.get(uid)
        if kind == "DELETED":
            self._told.discard(uid)
            if worker is not None:
                self._say("killed", worker)
                worker.kill()
                del self._workers[uid]
        elif terminating(pod):
            if worker is None:
                if uid not in self._told:
                    self._told.add(uid)
                    self._pods.remove(self._pods.place(pod))
            elif not worker.ending:
                self._say("terminating", worker)
                worker.end()
        elif worker is None and running(pod) and uid not in self._told:
            self._told.add(uid)
            self._hub.call_later(self._start_seconds, self._begin, pod)

    def _begin(self, pod: Object) -> None:
        place = self._pods.place(pod)
        if place.uid not in self._told:
            return  # it went before its worker was up
        client = self._clients.get((place.redis_url, place.key_prefix))
        if client is None:
            client = connect(place.redis_url, key_prefix=place.key_prefix)
            self._clients[place.redis_url, place.key_prefix] = client
        worker = PlayedWorker(place, client, self._hub, lambda: self._ended(place.uid))
        try:
            worker.start()
        except (redis.RedisError, OSError) as error:
            logger.warning("%s can't start: %s", place.pod, error)
            self._hub.call_later(1.0, self._begin, pod)
            return
        self._workers[place.uid] = worker
        self._say("started", worker)

    def _ended(self, uid: str) -> None:
        worker = self._workers.pop(uid, None)
        if worker is not None:
            self._say("ended", worker)
            self._pods.remove(worker.place)

    # --- Redis, in threads of their own ----------------------------------------------------------------------------------

    def _beat(self) -> None:
        while True:
            begun = time.monotonic()
            for key, client in list(self._clients.items()):
                own = [one for one in list(self._workers.values()) if (one.place.redis_url, one.place.key_prefix) == key]
                try:
                    self._beat_all(client, own)
                except (redis.RedisError, OSError) as error:
                    logger.warning("beats are not answered: %s", error)
            time.sleep(max(0.05, BEAT_SECONDS - (time.monotonic() - begun)))

    def _beat_all(self, client: Client, workers: list[PlayedWorker]) -> None:
        if not workers:
            return
        client.script_load(load("beat").text)
        with client.pipeline(transaction=False) as pipe:
            for worker in workers:
                worker.beat(pipe)
            answers = pipe.execute()
        for worker, answer in zip(workers, answers, strict=True):
            worker.beaten(answer)

    def _look(self) -> None:
        while True:
            for key, client in list(self._clients.items()):
                try:
                    found = client.hgetall(client.keys_of.drain)
                except (redis.RedisError, OSError):
                    continue
                for worker in list(self._workers.values()):
                    if (worker.place.redis_url, worker.place.key_prefix) == key:
                        self._note(worker, found.get(worker.id.encode()))
            time.sleep(LOOK_SECONDS)

    def _note(self, worker: PlayedWorker, said: bytes | None) -> None:
        drain = said.decode() if said else None
        was, worker.drain = worker.drain, drain
        if worker.ending or was == drain:
            return
        if drain == "drained":
            self._say("drained", worker)
            self._pods.set_ready(worker.place, False)
        elif was == "drained":
            self._say("withdrawn", worker)
            self._pods.set_ready(worker.place, True)

    def _say(self, what: str, worker: PlayedWorker) -> None:
        place = worker.place
        line = {
            "t": time.time(), "what": what, "pod": place.pod, "namespace": place.namespace, "name": place.name,
            "busy": len(worker.taker.inflight.messages), "drain": worker.drain,
        }  # fmt: skip
        self._record.write(json.dumps(line) + "\n")


def main() -> None:
    """Play until a signal."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.agent")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--namespace", help="all when left out")
    parser.add_argument("--redis-url", required=True)
    parser.add_argument("--record", type=Path, required=True)
    parser.add_argument("--start-seconds", type=float, default=0.0, help="how long a worker takes to start in its running pod")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    Playing(Api.of(given.kubeconfig), given.namespace, given.redis_url, given.record, given.start_seconds).run()


if __name__ == "__main__":
    main()
