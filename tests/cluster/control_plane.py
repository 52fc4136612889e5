"""A Kubernetes control plane on 127.0.0.1: etcd, API server, controller manager, scheduler, and kwok for the nodes.

Everything it writes is in one folder, everything it starts dies with the process that started it. Certificates, keys and
tokens are made anew for each run.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cluster.api import Api
from tests.cluster.parts import HERE, Parts
from tests.waiting import wait_until
from windrow.local.processes import launch, log_tail, stop

CONTROLLERS = (
    "deployment-controller", "replicaset-controller", "garbage-collector-controller", "namespace-controller",
    "serviceaccount-controller", "root-ca-certificate-publisher-controller", "disruption-controller",
    "clusterrole-aggregation-controller",
)  # fmt: skip
"""No node lifecycle controller: nobody is to be evicted because a test machine was busy."""
NODES = 3
PLAYED = "windrow.dev/played"
"""The label of nodes that kwok plays."""
AUDIT = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
    verbs: [create, update, patch, delete, deletecollection]
  - level: None
"""
"""Who wrote what, for service accounts: what an operator costs the API server."""


@dataclass(frozen=True)
class Plane:
    """A running API server and how to speak to it."""

    server: str
    """`https://127.0.0.1:…`."""
    kubeconfig: Path
    """With all rights."""
    authority: Path | None
    """The certificate to check the server's against; None where the machine's own are enough."""
    folder: Path
    kubectl: tuple[str, ...]
    api: Api
    """With all rights."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    restart: Callable[[str], None] = field(default=lambda name: None)
    """Kill a process of the plane, and start it again; nothing is waited for."""

    @property
    def audit(self) -> Path:
        """A JSON line for each write of a service account."""
        self._ours("its audit log is read")
        return self.folder / "audit.log"

    def pause(self, name: str, paused: bool = True) -> None:
        """Freeze a process of the plane (`kube-apiserver`), or let it go on."""
        self._ours(f"{name} is frozen")
        self.processes[name].send_signal(signal.SIGSTOP if paused else signal.SIGCONT)

    def _ours(self, why: str) -> None:
        if not self.processes:
            pytest.skip(f"the plane must be one that was started here, not one that was named: {why}")


@contextmanager
def running(parts: Parts, folder: Path) -> Iterator[Plane]:
    """A control plane that is ready, with its nodes; raises AssertionError with the last lines of the log that says why not."""
    with ExitStack() as stack:
        start = _Starter(stack, folder)
        etcd_port, peer_port, port = (_free_port() for _ in range(3))
        etcd = f"http://127.0.0.1:{etcd_port}"
        start(
            "etcd", *parts.etcd, "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
            "--listen-client-urls", etcd, "--advertise-client-urls", etcd, "--listen-peer-urls", f"http://127.0.0.1:{peer_port}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer_port}", "--initial-cluster", f"default=http://127.0.0.1:{peer_port}",
        )  # fmt: skip
        key = folder / "accounts.key"
        subprocess.run([*parts.openssl, "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
        token = secrets.token_hex(16)
        _write(folder / "tokens.csv", f'{token},admin,admin,"system:masters"\n')
        _write(folder / "audit.yaml", AUDIT)
        certificates = folder / "certificates"
        start(
            "kube-apiserver", *parts.kube_apiserver, f"--etcd-servers={etcd}", f"--secure-port={port}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--cert-dir={certificates}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC", f"--token-auth-file={folder / 'tokens.csv'}", "--allow-privileged=true",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc", "--endpoint-reconciler-type=none",
            f"--audit-policy-file={folder / 'audit.yaml'}", f"--audit-log-path={folder / 'audit.log'}", "--profiling=false",
            "--disable-admission-plugins=TaintNodesByCondition",  # nobody here would take the taint away
            "--feature-gates=WatchList=false",  # it needs an etcd from 3.5.13 on
        )  # fmt: skip
        server, authority = f"https://127.0.0.1:{port}", certificates / "apiserver.crt"
        kubeconfig = write_kubeconfig(folder / "admin.kubeconfig", server, authority, token)
        wait_until(lambda: start.alive() and _ready(server, authority, token), 60, "the API server is ready", pause=0.1)
        start(
            "kube-controller-manager", *parts.kube_controller_manager, f"--kubeconfig={kubeconfig}",
            "--leader-elect=false", f"--controllers={','.join(CONTROLLERS)}", f"--service-account-private-key-file={key}",
            f"--root-ca-file={authority}", "--secure-port=0", "--concurrent-gc-syncs=5",
        )  # fmt: skip
        start(
            "kube-scheduler", *parts.kube_scheduler, f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0",
            f"--authentication-kubeconfig={kubeconfig}", f"--authorization-kubeconfig={kubeconfig}",
        )  # fmt: skip
        start(
            "kwok", *parts.kwok, f"--kubeconfig={kubeconfig}", "--manage-all-nodes=true", "--node-ip=127.0.0.1",
            f"--config={HERE / 'kwok' / 'stages.yaml'}", "--node-lease-duration-seconds=0",
        )  # fmt: skip
        plane = Plane(server, kubeconfig, authority, folder, parts.kubectl, Api.of(kubeconfig), start.processes, start.again)
        nodes = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": f"node-{n}", "labels": {"kubernetes.io/hostname": f"node-{n}", PLAYED: "true"}},
                "status": {name: {"cpu": "64", "memory": "256Gi", "pods": "250"} for name in ("allocatable", "capacity")},
            }
            for n in range(NODES)
        ]
        run_kubectl(plane, "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": nodes}))
        run_kubectl(plane, "wait", "--for=condition=Ready", "node", "--all", "--timeout=30s")
        start.alive()
        stack.callback(plane.api.close)
        yield plane


def given(kubeconfig: Path, parts: Parts, folder: Path) -> Plane:
    """A cluster that runs already, by its kubeconfig."""
    view = [*parts.kubectl, f"--kubeconfig={kubeconfig}", "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]
    document = json.loads(subprocess.run(view, capture_output=True, text=True, check=True).stdout)
    cluster = document["clusters"][0]["cluster"]
    authority = None
    if data := cluster.get("certificate-authority-data"):
        authority = folder / "authority.crt"
        authority.write_bytes(base64.b64decode(data))
    return Plane(cluster["server"], kubeconfig, authority, folder, parts.kubectl, Api(document))


def run_kubectl(plane: Plane, *arguments: str, given: str | None = None, timeout: float = 60) -> str:
    """What kubectl prints; raises subprocess.CalledProcessError (its `stderr` is the sentence) when it refuses."""
    command = [*plane.kubectl, f"--kubeconfig={plane.kubeconfig}", *arguments]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(plane.folder)}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, check=True, timeout=timeout, env=environment
    ).stdout


def write_kubeconfig(path: Path, server: str, authority: Path | None, token: str, namespace: str = "default") -> Path:
    """A kubeconfig with a token, readable by its owner only."""
    cluster = {"server": server} if authority is None else {"server": server, "certificate-authority": str(authority)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
    }
    _write(path, json.dumps(document, indent=1))
    return path


class _Starter:
    """Starts the processes of a plane, each with a log of its name, and ends them in the reverse order."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self._stack, self._folder = stack, folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[str, ...]] = {}

    def __call__(self, name: str, *command: str) -> None:
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(self._folder)}
        process = launch(
            command, log=self._folder / f"{name}.log", death_signal=signal.SIGKILL, env=environment, cwd=self._folder
        )
        self.processes[name], self._commands[name] = process, command
        self._stack.callback(stop, process, [(signal.SIGCONT, 0.0), (signal.SIGTERM, 0.5)])

    def again(self, name: str) -> None:
        """Kill it, and start it again."""
        self.processes[name].kill()
        self.processes[name].wait()
        self(name, *self._commands[name])

    def alive(self) -> bool:
        """True; raises AssertionError when one has ended."""
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended with {process.returncode}: {log_tail(self._folder / f'{name}.log')}"
        return True


def _ready(server: str, authority: Path, token: str) -> bool:
    try:
        trust = ssl.create_default_context(cafile=str(authority))
        request = urllib.request.Request(f"{server}/readyz", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=2, context=trust) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
