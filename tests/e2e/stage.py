"""What a row stands on: the cluster, helm and kubectl, the images, the evidence, the load."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from deploy.cluster import Cluster
from tests.e2e.judge import Blow, Line, Verdict, judge, read
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
APP = Path(__file__).parent / "app"
FOLDER = ROOT / "build" / "e2e"
EVIDENCE = "e2e-evidence"
POD_IS_READY_S = 90.0


class Wrong(Exception):
    """A rule of a row does not hold; the sentence says which and what was seen."""


def must(holds: object, sentence: str) -> None:
    """Raise Wrong unless it holds."""
    if not holds:
        raise Wrong(sentence)


@dataclass
class Stage:
    """One cluster, and the release `windrow` in a namespace of it."""

    cluster: Cluster
    version: str
    namespace: str = "windrow"
    release: str = "windrow"
    helm_major: int = 4
    state: dict[str, Any] = field(default_factory=dict)
    """What a row leaves for later ones."""

    @cached_property
    def environment(self) -> dict[str, str]:
        """Of every command: the cluster, and helm's folders of the tests' own."""
        home = FOLDER / "helm"
        folders = {f"HELM_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}
        return {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), **folders}

    def run(
        self, *command: str, given: str | None = None, check: bool = True, timeout: float = 180
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the cluster; raises Wrong with its last words when it fails."""
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, check=False, timeout=timeout, env=self.environment, cwd=ROOT
        )
        if check and done.returncode != 0:
            shown = " ".join(part for part in command if not part.startswith("--kubeconfig"))[:160]
            raise Wrong(f"`{shown}` must work, and says: {(done.stderr or done.stdout).strip()[-600:]}")
        return done

    def kubectl(
        self, *arguments: str, namespace: str | None = None, given: str | None = None, check: bool = True, timeout: float = 180
    ) -> str:
        """What kubectl prints, in the release's namespace or another."""
        command = (*self.cluster.kubectl, "-n", namespace or self.namespace, *arguments)
        return self.run(*command, given=given, check=check, timeout=timeout).stdout

    def get(self, *arguments: str, namespace: str | None = None) -> Any:
        """Objects as JSON; nothing when there is none."""
        text = self.kubectl("get", *arguments, "--ignore-not-found", "-o", "json", namespace=namespace)
        return json.loads(text) if text.strip() else {}

    def apply(self, *manifests: Mapping[str, Any], namespace: str | None = None) -> None:
        """Apply objects server-side."""
        self.kubectl(
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            "-",
            namespace=namespace,
            given=yaml.safe_dump_all(list(manifests)),
        )

    def helm(self, *arguments: str, major: int | None = None, check: bool = True, timeout: float = 300) -> str:
        """What helm prints; of its version 4, unless another is asked for."""
        program = self.cluster.helm3 if (major or self.helm_major) == 3 else self.cluster.helm4
        done = self.run(str(program), *arguments, "-n", self.namespace, check=check, timeout=timeout)
        return done.stdout + done.stderr

    def pods(self, selector: str = "", *, namespace: str | None = None, going: bool = False) -> list[dict[str, Any]]:
        """Pods, without those that are going."""
        found = self.get("pods", "-l", selector, namespace=namespace).get("items", [])
        return [pod for pod in found if going or not pod["metadata"].get("deletionTimestamp")]

    def queue_pods(self, queue: str, *, going: bool = False) -> list[dict[str, Any]]:
        """The worker pods of a QueueWorker."""
        return self.pods(f"windrow.dev/queueworker={queue}", going=going)

    def component(self, name: str) -> list[dict[str, Any]]:
        """The pods of one of the chart's parts."""
        return self.pods(f"app.kubernetes.io/component={name}")

    def served(self, *queues: str) -> None:
        """Wait until the operator has made the Deployments of these queues' workers."""
        for queue in queues:
            self.wait(lambda queue=queue: self.get("deploy", queue), 30, f"queue {queue} has its workers' Deployment")

    def all_ready(self, timeout: float = POD_IS_READY_S) -> None:
        """Wait until operator, servers, Redis and PostgreSQL are ready, and every Deployment has what it asks for."""

        def ready() -> bool:
            deployments = self.get("deployments,statefulsets").get("items", [])
            return bool(deployments) and all(_rolled_out(one) for one in deployments)

        self.wait(ready, timeout, "every Deployment and StatefulSet is ready")

    def wait(self, condition: Callable[[], Any], timeout: float, what: str, pause: float = 0.3) -> Any:
        """The first truthy value; raises Wrong."""
        try:
            return wait_until(condition, timeout, what, pause=pause)
        except AssertionError as late:
            raise Wrong(str(late)) from None

    def qw(self, name: str) -> dict[str, Any]:
        """A QueueWorker."""
        return dict(self.get("queueworkers.windrow.dev", name))

    def sql(self, statement: str) -> list[list[str]]:
        """Rows of the records, read in PostgreSQL's own pod."""
        text = self.kubectl(
            "exec", "windrow-postgresql-0", "--", "psql", "-U", "windrow", "-d", "windrow", "-h", "/var/run/postgresql",
            "-tA", "-F", "\t", "-c", statement,
        )  # fmt: skip
        return [row.split("\t") for row in text.splitlines() if row]

    def records(self, ids: Iterable[str]) -> dict[str, str]:
        """The state on record of each task id."""
        listed = ",".join(f"'{one}'" for one in ids)
        rows = self.sql(
            "select e.task_id, s.code from windrow.executions e join windrow.execution_statuses s on s.id = e.status_id "
            f"where e.task_id in ({listed})"
        )
        return {row[0]: row[1] for row in rows}

    def server_says(self, path: str) -> Any:
        """What the server answers, asked by the Service from a pod of the servers."""
        script = f"import urllib.request as r; print(r.urlopen('http://windrow-server:8080{path}', timeout=10).read().decode())"
        return json.loads(self.kubectl("exec", "deploy/windrow-server", "-c", "server", "--", "python", "-c", script))

    # the load

    def start_evidence(self, image: str) -> None:
        """The pod that bodies tell, in a namespace of its own."""
        labels = {"app": "evidence"}
        security = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        container = {
            "name": "evidence", "image": image, "command": ["python", "/app/evidence.py"], "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 9000}], "readinessProbe": {"tcpSocket": {"port": 9000}, "periodSeconds": 1},
        }  # fmt: skip
        self.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": EVIDENCE}},
            {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "evidence", "namespace": EVIDENCE, "labels": labels},
                "spec": {"securityContext": security, "containers": [container], "terminationGracePeriodSeconds": 0},
            },
            {
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": "evidence", "namespace": EVIDENCE},
                "spec": {"selector": labels, "ports": [{"port": 9000}]},
            },
            namespace=EVIDENCE,
        )  # fmt: skip
        self.kubectl("wait", "--for=condition=Ready", "pod/evidence", "--timeout=60s", namespace=EVIDENCE)

    def evidence(self) -> list[Line]:
        """All that bodies have told so far."""
        return read(
            self.kubectl("exec", "evidence", "--", "sh", "-c", "cat /tmp/evidence 2>/dev/null || true", namespace=EVIDENCE)
        )

    def start_producer(self, image: str, name: str = "producer") -> None:
        """A pod that may reach Redis, as an application of the user's would."""
        url = {"name": "REDIS_URL", "valueFrom": {"secretKeyRef": {"name": "windrow", "key": "REDIS_URL"}}}
        hardened = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
        container = {
            "name": "producer", "image": image, "command": ["sleep", "100000"], "imagePullPolicy": "IfNotPresent",
            "env": [url], "securityContext": hardened,
        }  # fmt: skip
        self.kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=0", "--force")
        self.apply({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"windrow.dev/redis-client": "true"}},
            "spec": {
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container],
            },
        })  # fmt: skip
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

    def send(self, task: str, queue: str, arguments: Sequence[Sequence[Any]], every: float = 0) -> list[str]:
        """Call a task once for each list of arguments, `every` so many seconds; the ids of what was accepted."""
        given = json.dumps({"task": task, "queue": queue, "args": list(arguments), "every": every})
        return self.kubectl("exec", "-i", "producer", "--", "python", "/app/produce.py", given=given).split()

    def in_flight(self, ids: Sequence[str], many: int, timeout: float = 90) -> list[Line]:
        """Wait until so many of the tasks run; what they told."""
        wanted = set(ids)

        def running() -> list[Line]:
            lines = [line for line in self.evidence() if line.task in wanted]
            started, ended = {line.task for line in lines}, {line.task for line in lines if line.what == "end"}
            return lines if len(started) >= many and len(started - ended) >= many * 0.9 else []

        return list(self.wait(running, timeout, f"{many} tasks run at once", pause=0.5))

    def busy_pod(self, queue: str) -> str:
        """A pod of the queue that runs something now."""
        lines = self.evidence()
        ended = {line.token for line in lines if line.what == "end"}
        busy = {line.pod for line in lines if line.token not in ended}
        found = [pod["metadata"]["name"] for pod in self.queue_pods(queue) if pod["metadata"]["name"] in busy]
        must(found, f"a pod of {queue} must be busy, and none of {len(busy)} busy pods is its")
        return str(found[0])

    def settled(self, ids: Sequence[str], timeout: float, blow: Blow | None = None) -> Verdict:
        """Wait until all are final on record, and judge them."""
        listed = ",".join(f"'{one}'" for one in ids)
        count = f"select count(*) from windrow.executions where finished_at is not null and task_id in ({listed})"

        def final() -> bool:
            try:
                return int(self.sql(count)[0][0]) >= len(ids)
            except Wrong:  # PostgreSQL's pod may be the one that was deleted
                return False

        try:
            self.wait(final, timeout, f"all {len(ids)} are final on record", pause=1)
        except Wrong as late:
            self.state.setdefault("late", []).append(str(late))
        return judge(ids, self.evidence(), self.records(ids), blow)

    def show(self, name: str) -> None:
        """Write down what there is to see, for a row that failed."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        parts = [
            self.kubectl(*words.split(), check=False)
            for words in ("get pods,qw -o wide", "get events --sort-by=.lastTimestamp", "describe qw", "describe pods")
        ]
        for pod in self.pods(going=True):
            name_of = pod["metadata"]["name"]
            parts += [f"--- {name_of}", self.kubectl("logs", name_of, "--all-containers", "--tail=60", check=False)]
        (FOLDER / f"{name}.txt").write_text("\n\n".join(parts))


def _rolled_out(one: Mapping[str, Any]) -> bool:
    wanted, status = one["spec"].get("replicas", 1), one.get("status", {})
    seen = status.get("observedGeneration", 0) >= one["metadata"]["generation"]
    updated = status.get("updatedReplicas", 0) >= wanted
    return bool(seen and updated and status.get("readyReplicas", 0) >= wanted and status.get("replicas", 0) <= wanted)


def spread(count: int, least: float = 5.0, most: float = 60.0) -> list[list[float]]:
    """Durations between the two, the same every time, in no order."""
    return [[round(least + (most - least) * (number * 0.618034 % 1), 1)] for number in range(count)]


def clock() -> float:
    """Monotonic seconds."""
    return time.monotonic()
