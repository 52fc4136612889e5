"""What the agent hears of pods and says about them, in threads of its own; the event loop takes what is heard."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.cluster.agent.worker import Place
from tests.cluster.api import CORE, Api, Object, Refused
from windrow.queues.derive import derive
from windrow.queues.load import parse_specs

logger = logging.getLogger(__name__)

WORKERS = "windrow.dev/queueworker"


def running(pod: Object) -> bool:
    """Whether kwok has it run."""
    return bool(pod.get("status", {}).get("phase") == "Running")


def terminating(pod: Object) -> bool:
    """Whether it was told to end."""
    return "deletionTimestamp" in pod["metadata"]


class Pods:
    """The pods of one namespace's QueueWorkers, or of all namespaces'."""

    def __init__(self, api: Api, namespace: str | None, redis_url: str, hear: Callable[[str, Object], None]) -> None:
        """`hear` is called in a thread of its own with each change; `redis_url` is for pods whose environment names none."""
        self._api, self._hear, self._redis_url = api, hear, redis_url
        self._path = f"{CORE}/namespaces/{namespace}/pods" if namespace else f"{CORE}/pods"
        self._hands = ThreadPoolExecutor(4, thread_name_prefix="api")
        self._ready: dict[str, bool] = {}
        self._secrets: dict[tuple[str, str], tuple[float, dict[str, str]]] = {}

    def start(self) -> None:
        """Hear of pods from now on."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def place(self, pod: Object) -> Place:
        """What the worker in a pod would read from its environment. Raises Refused when a Secret can't be read."""
        meta, container = pod["metadata"], pod["spec"]["containers"][0]
        env = self._environment(meta["namespace"], container)
        name = meta["labels"][WORKERS]
        queue, slots = name.replace("-", "_"), 1
        if text := env.get("WINDROW_SPEC"):
            derived = derive(parse_specs(json.dumps(json.loads(text)))[0])
            queue, slots = derived.queue, derived.concurrency
        url = env.get("REDIS_URL") or self._redis_url
        return Place(meta["namespace"], meta["name"], meta["uid"], name, queue, slots, url, env.get("WINDROW_KEY_PREFIX", ""))

    def set_ready(self, pod: Place, ready: bool) -> None:
        """Have the pod's conditions say whether it is ready."""
        self._ready[pod.uid] = ready
        self._hands.submit(self._say_ready, pod)

    def remove(self, pod: Place) -> None:
        """The worker has ended: the pod goes, as a kubelet does it."""
        self._hands.submit(self._remove, pod)

    def _say_ready(self, pod: Place) -> None:
        now, status = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), str(self._ready[pod.uid])
        conditions = [{"type": kind, "status": status, "lastTransitionTime": now} for kind in ("Ready", "ContainersReady")]
        path = f"{CORE}/namespaces/{pod.namespace}/pods/{pod.pod}/status"
        self._try(lambda: self._api.patch(path, {"status": {"conditions": conditions}}, "strategic"))

    def _remove(self, pod: Place) -> None:
        self._try(
            lambda: self._api.delete(
                f"{CORE}/namespaces/{pod.namespace}/pods/{pod.pod}", gracePeriodSeconds=0, preconditions={"uid": pod.uid}
            )
        )

    def _try(self, call: Callable[[], object]) -> None:
        for pause in (0.1, 0.5, 1.0, 2.0, 5.0, 5.0):
            try:
                call()
                return
            except Refused as no:
                if no.code in (404, 409):
                    return
                logger.warning("the API server refused: %s", no)
            except Exception as error:
                logger.warning("the API server is away: %r", error)
            time.sleep(pause)

    def _watch(self) -> None:
        known: dict[str, Object] = {}
        while True:
            try:
                listing = set(known)
                for kind, pod in self._api.watch(self._path, labelSelector=WORKERS):
                    uid = pod["metadata"]["uid"]
                    listing.discard(uid)
                    if kind == "DELETED":
                        known.pop(uid, None)
                    else:
                        known[uid] = pod
                    self._hear(kind, pod)
            except Exception as error:
                logger.warning("pods can't be watched: %r", error)
            time.sleep(0.3)
            self._forget_the_gone(known)

    def _forget_the_gone(self, known: dict[str, Object]) -> None:
        """After a watch has ended: what went meanwhile would never be heard of."""
        try:
            there = {pod["metadata"]["uid"] for pod in self._api.items(self._path, labelSelector=WORKERS)}
        except Exception as error:
            logger.warning("pods can't be listed: %r", error)
            return
        for uid in [uid for uid in known if uid not in there]:
            self._hear("DELETED", known.pop(uid))

    def _environment(self, namespace: str, container: Object) -> dict[str, str]:
        env: dict[str, str] = {}
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                env.update(self._secret(namespace, source["secretRef"]["name"]))
        for entry in container.get("env", []):
            reference: dict[str, Any] | None = entry.get("valueFrom", {}).get("secretKeyRef")
            if reference is not None:
                value = self._secret(namespace, reference["name"]).get(reference["key"])
                if value is not None:
                    env[entry["name"]] = value
            elif "value" in entry:
                env[entry["name"]] = entry["value"]
        return env

    def _secret(self, namespace: str, name: str) -> dict[str, str]:
        read, found = self._secrets.get((namespace, name), (0.0, {}))
        if time.monotonic() - read > 5:
            data = (self._api.find(f"{CORE}/namespaces/{namespace}/secrets/{name}") or {}).get("data", {})
            found = {key: base64.b64decode(value).decode() for key, value in data.items()}
            self._secrets[namespace, name] = (time.monotonic(), found)
        return found
