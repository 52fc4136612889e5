"""What every row stands on: a plane, a Redis, the operator in its processes, the agent that plays workers, and eyes."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cluster import setting
from tests.cluster.agent.playing import Agent
from tests.cluster.api import APPS, CORE, Api, Object, Refused
from tests.cluster.control_plane import Plane, running
from tests.cluster.operators import Operators
from tests.cluster.parts import find
from tests.cluster.publishing import publish
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until
from windrow.broker import observe
from windrow.broker.client import Client, connect
from windrow.local.servers import EmbeddedRedis

WORKERS = "windrow.dev/queueworker"


class Eyes:
    """Sees each change of a namespace's Deployments and pods as it comes: when a number was reached, to some milliseconds."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._changed = threading.Condition()
        self.replicas: dict[str, list[tuple[float, int]]] = {}
        """spec.replicas of each Deployment, with when it was seen (monotonic seconds)."""
        self.born: dict[str, list[float]] = {}
        """When each pod of a Deployment was first seen."""
        self.pods: dict[str, Object] = {}
        """The pods that are there, by uid."""
        self._seen: set[str] = set()
        for path, look in (
            (f"{APPS}/namespaces/{namespace}/deployments", self._deployment),
            (f"{CORE}/namespaces/{namespace}/pods", self._pod),
        ):
            threading.Thread(target=self._watch, args=(api, path, look), daemon=True).start()

    def wait(self, until: Callable[[], bool], timeout: float, what: str) -> float:
        """Wait until something is so; returns when (monotonic seconds). Raises AssertionError."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while not until():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {timeout:g} s: {what}")
                self._changed.wait(min(left, 1.0))
        return time.monotonic()

    def reached(self, name: str, replicas: int, since: float, timeout: float) -> float:
        """When spec.replicas of a Deployment was first at least `replicas` from `since` on. Raises AssertionError."""

        def when() -> float | None:
            return next((t for t, count in self.replicas.get(name, []) if count >= replicas and t >= since), None)

        self.wait(lambda: when() is not None, timeout, f"{name} has {replicas} replicas")
        found = when()
        assert found is not None
        return found

    def born_all(self, name: str, count: int, timeout: float) -> float:
        """When the `count`th pod of a Deployment was seen. Raises AssertionError."""
        self.wait(lambda: len(self.born.get(name, [])) >= count, timeout, f"{name} has {count} pods")
        return sorted(self.born[name])[count - 1]

    def there(self, name: str) -> list[Object]:
        """The pods of a Deployment, terminating ones too."""
        return [pod for pod in list(self.pods.values()) if _owner(pod) == name]

    def _deployment(self, kind: str, found: Object) -> None:
        name = found["metadata"]["name"]
        if kind == "DELETED":
            self.replicas.pop(name, None)
            return
        told = self.replicas.setdefault(name, [])
        if not told or told[-1][1] != found["spec"]["replicas"]:
            told.append((time.monotonic(), found["spec"]["replicas"]))

    def _pod(self, kind: str, found: Object) -> None:
        uid = found["metadata"]["uid"]
        if kind == "DELETED":
            self.pods.pop(uid, None)
            return
        self.pods[uid] = found
        if uid not in self._seen:
            self._seen.add(uid)
            self.born.setdefault(_owner(found), []).append(time.monotonic())

    def _watch(self, api: Api, path: str, look: Callable[[str, Object], None]) -> None:
        while True:
            try:
                for kind, found in api.watch(path):
                    with self._changed:
                        look(kind, found)
                        self._changed.notify_all()
            except (OSError, http.client.HTTPException, ValueError, Refused):  # it is looked at anew
                time.sleep(0.5)


def _owner(pod: Object) -> str:
    """The Deployment of a pod: its ReplicaSet's name without the hash."""
    references = pod["metadata"].get("ownerReferences") or [{"name": ""}]
    return str(references[0]["name"]).rpartition("-")[0]


@dataclass
class Stage:
    """Everything that runs, and the words of the rows."""

    plane: Plane
    redis: EmbeddedRedis
    operators: Operators
    agent: Agent
    namespace: str
    eyes: Eyes
    quick: bool
    client: Client = field(init=False)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.client = connect(self.redis.url)

    @property
    def api(self) -> Api:
        """The API server, with all rights."""
        return self.plane.api

    def queueworker(self, name: str, *, concurrency: int = 1, **scaling: object) -> QueueWorkerObject:
        """A new QueueWorker of a name like this one; returns when its Deployment is there."""
        made = self.post(f"{name}-{next(self._numbers)}", concurrency, **scaling)
        self.eyes.wait(lambda: made.name in self.eyes.replicas, 30, f"{made.name} has a Deployment")
        return made

    def post(self, name: str, concurrency: int, **scaling: object) -> QueueWorkerObject:
        """A new QueueWorker of this name; nothing is waited for."""
        spec: dict[str, Any] = {"concurrency": concurrency, "scaling": scaling}
        return setting.make_queueworker(self.api, self.namespace, name, spec)

    def publish(self, worker: QueueWorkerObject, count: int, seconds: float) -> float:
        """Publish tasks; returns when the last was out (monotonic seconds)."""
        publish(self.redis.url, queue_of(worker.name), count, seconds=seconds)
        return time.monotonic()

    def in_flight(self, worker: QueueWorkerObject) -> tuple[int, int]:
        """How many tasks are in flight, and how many wait."""
        queue = queue_of(worker.name)
        reading = observe.observe(self.client, [queue])[queue]
        return reading.in_flight, reading.ready

    def clear(self, *workers: QueueWorkerObject) -> None:
        """Have QueueWorkers and their pods go, and the controllers' budget of calls come back."""
        for worker in workers:
            worker.delete()
        for worker in workers:
            self.api.delete(f"{APPS}/namespaces/{self.namespace}/deployments/{worker.name}", propagationPolicy="Background")
            self.drop_pods(worker.name)

    def drop_pods(self, name: str) -> None:
        """Have the pods of a Deployment that is gone, or at nought, go."""

        def gone() -> bool:
            for pod in self.eyes.there(name):
                if "deletionTimestamp" in pod["metadata"]:
                    path = f"{CORE}/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
                    self.api.delete(path, gracePeriodSeconds=0)
            return not self.eyes.there(name)

        wait_until(gone, 90, f"the pods of {name} are gone", pause=0.2)


def queue_of(name: str) -> str:
    """The queue of a QueueWorker that names none."""
    return name.replace("-", "_")


@contextmanager
def staged(folder: Path, quick: bool) -> Iterator[Stage]:
    """A stage with one operator that leads. Raises `tests.cluster.parts.Missing`."""
    with ExitStack() as stack:
        server = EmbeddedRedis(folder / "redis-server")
        server.start()
        stack.callback(server.stop)
        (folder / "plane").mkdir()
        plane = stack.enter_context(running(find(), folder / "plane"))
        setting.install_crd(plane.api)
        namespace = setting.new_namespace(plane.api)
        setting.platform_secret(plane.api, namespace, server.url)
        kubeconfig = setting.operator_account(plane, namespace, folder / "operator.kubeconfig", watched=(namespace,))
        operators = Operators(folder / "operators", kubeconfig, namespace, server.url)
        stack.callback(operators.stop)
        agent = Agent(folder / "agent", plane.kubeconfig, namespace, server.url)
        agent.start()
        stack.callback(agent.stop)
        stage = Stage(plane, server, operators, agent, namespace, Eyes(plane.api, namespace), quick)
        operators.start()
        stage.clear(stage.queueworker("first"))
        yield stage
