"""The first process of a node, in namespaces of its own: it makes the node's mounts and network and keeps its programs running.

`main`, called by `host.start` through `unshare`. When it ends, the kernel ends everything that
runs on the node, pods among it, and takes the mounts and the network away.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.cluster import layout as told
from deploy.cluster.cgroups import join
from deploy.cluster.layout import Layout

AGAIN = 1.0
"""Seconds after which a program that has ended is started again."""
TURN = 0.2
"""Seconds between two looks at what has ended."""
PATIENCE = 20.0
"""Seconds that the node waits for its cable."""


@dataclass(frozen=True)
class Plan:
    """Where the programs are."""

    state: str
    etcd: tuple[str, ...]
    kubernetes: str
    network_policies: str
    path: str
    network_plugins: str

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """What `write` wrote."""
        content = json.loads(path.read_text())
        return cls(**{**content, "etcd": tuple(content["etcd"])})


def commands(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The node's programs by name, in the order of their start."""
    layout = Layout(Path(plan.state))
    local = "http://127.0.0.1"
    kubernetes = plan.kubernetes
    return {
        "containerd": ("containerd", "--config", str(layout.state / "containerd.toml")),
        "etcd": (
            *plan.etcd, "--data-dir", str(layout.state / "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
            "--listen-client-urls", f"{local}:2379", "--advertise-client-urls", f"{local}:2379",
            "--listen-peer-urls", f"{local}:2380", "--initial-advertise-peer-urls", f"{local}:2380",
            "--initial-cluster", f"default={local}:2380",
        ),
        "kube-apiserver": (kubernetes, "kube-apiserver", *told.api_server_arguments(layout, f"{local}:2379")),
        "kube-controller-manager": (kubernetes, "kube-controller-manager", *told.controller_manager_arguments(layout)),
        "kube-scheduler": (kubernetes, "kube-scheduler", *told.scheduler_arguments(layout)),
        "kubelet": (
            kubernetes, "kubelet", f"--config={layout.state / 'kubelet.json'}", f"--hostname-override={told.NODE}",
            f"--kubeconfig={layout.credentials / 'kubelet.kubeconfig'}", f"--node-ip={told.NODE_ADDRESS}",
        ),
        "kube-proxy": (kubernetes, "kube-proxy", f"--config={layout.state / 'kube-proxy.json'}"),
        # kube-router's firewall alone: the node routes its pods by itself, and kube-proxy does the services.
        "network-policies": (
            plan.network_policies, "--run-firewall=true", "--run-router=false", "--run-service-proxy=false",
            f"--kubeconfig={layout.credentials / 'network-policies.kubeconfig'}", f"--hostname-override={told.NODE}",
            f"--service-cluster-ip-range={told.SERVICES}", "--metrics-port=0", f"--health-port={told.POLICIES_PORT}", "-v=0",
        ),
        "volumes": (sys.executable, "-c", "from deploy.cluster.volumes import main; main()", plan.state),
    }  # fmt: skip


def prepare_mounts(layout: Layout) -> None:
    """Give the node a `/run`, `/var/lib` and `/var/log` of its own; the state folder stays where it is."""
    inner = layout.state / "lib" / layout.state.name
    inner.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", "mode=0755", "run", "/run")
    _run("mount", "--bind", str(layout.state), str(inner))
    _run("mount", "--bind", str(layout.logs), "/var/log")
    _run("mount", "--rbind", str(layout.state / "lib"), str(layout.state.parent))
    # Last: each of these mounts then shares what is mounted in it with pods, and with none of the others.
    _run("mount", "--make-rshared", "/")


def prepare_network() -> None:
    """Wait for the cable from the machine, and give the node its addresses and routes. There is no way out."""
    deadline = time.monotonic() + PATIENCE
    while not Path("/proc/net/dev").read_text().count(" eth0:"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"the node's cable must be there within {PATIENCE:g} s, and is not: look at the log of `up`")
        time.sleep(0.02)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for command in (
        "link set lo up",
        f"address add {told.NODE_ADDRESS}/{told.LINK_PREFIX} dev eth0",
        "link set eth0 up",
        f"link add {told.SERVICE_BRIDGE} type bridge",
        f"link set {told.SERVICE_BRIDGE} up",
        f"route add {told.SERVICES} dev {told.SERVICE_BRIDGE} src {told.NODE_ADDRESS}",
    ):
        _run("ip", *command.split())


class Keeper:
    """Starts the programs, starts again what has ended, and reaps what others leave behind."""

    def __init__(self, plan: Plan) -> None:
        self._commands, self._logs = commands(plan), Layout(Path(plan.state)).logs
        self._environment = {"PATH": plan.path, "HOME": plan.state, "LC_ALL": "C.UTF-8", "PYTHONPATH": os.getcwd()}
        self._environment |= {told.NUMBERED: str(told.NUMBER)}
        self._pids: dict[int, str] = {}
        self._due: dict[str, float] = {}

    def run(self) -> None:
        """For ever; SIGTERM ends the process, and so the node."""
        for name in self._commands:
            self._start(name)
        while True:
            for name, due in list(self._due.items()):
                if time.monotonic() >= due:
                    del self._due[name]
                    self._start(name)
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                time.sleep(TURN)
            elif (ended := self._pids.pop(pid, None)) is not None:
                print(f"{ended} ended with {os.waitstatus_to_exitcode(status)}, and is started again", flush=True)
                self._due[ended] = time.monotonic() + AGAIN

    def _start(self, name: str) -> None:
        with (self._logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - the programs are ours
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        self._pids[process.pid] = name


def _run(*command: str) -> None:
    subprocess.run(command, check=True)  # noqa: S603


def main() -> None:
    """Become the node that the plan says."""
    plan = Plan.read(Path(sys.argv[1]))
    os.environ["PATH"] = plan.path
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    join("system")
    prepare_mounts(Layout(Path(plan.state)))
    prepare_network()
    Keeper(plan).run()
