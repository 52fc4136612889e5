"""A cluster that is made of parts on this machine: started, found again, ended without anything left behind."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster import addons, cgroups, credentials, debian, oci, parts
from deploy.cluster import layout as told
from deploy.cluster.layout import Layout
from deploy.cluster.node import Plan

ROOT = Path(__file__).parents[2]
READY = 90.0
"""Seconds within which a node is ready, on a slow machine too."""


class Trouble(Exception):
    """A node did not start, or does not end; the sentence says where to look."""


@dataclass(frozen=True)
class Node:
    """The node's processes as the machine sees them."""

    guard: int
    """The one that `up` started: it takes the node with it."""
    first: int
    """The first one in the node's namespaces."""
    born: str
    """When the guard was made, in the kernel's ticks: a later process with its pid is another one."""

    def alive(self) -> bool:
        """Whether it still runs."""
        return born(self.guard) == self.born


def born(pid: int) -> str:
    """When a process was made, in the kernel's ticks since the machine's start; empty when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def running(layout: Layout) -> Node | None:
    """The node, if one runs."""
    try:
        node = Node(**json.loads(layout.record.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return node if node.alive() else None


def build() -> tuple[Path, debian.Programs]:
    """Everything that a node is made of, built once. Raises Missing and BuildFailed."""
    parts.etcd()
    programs = debian.programs()
    for source in (parts.PAUSE, parts.COREDNS):
        parts.build(source)
    return parts.build(parts.KUBERNETES), programs


def start(layout: Layout) -> None:
    """Start a node and wait until pods run on it. Raises Missing, BuildFailed and Trouble; nothing is left then."""
    kubernetes, programs = build()
    stop(layout)
    try:
        layout.logs.mkdir(parents=True)
        credentials.make(layout)
        shutil.copy(layout.credentials / "admin.kubeconfig", layout.kubeconfig)
        _configure(layout, programs)
        Plan(str(layout.state), parts.etcd(), str(kubernetes), programs.path, str(programs.network_plugins)).write(layout.plan)
        cgroups.make()
        node = _launch(layout, programs)
        _connect(node, programs)
        _furnish(layout, node, kubernetes, programs)
    except BaseException:  # Ctrl-C too
        stop(layout, keep_logs=True)
        raise


def stop(layout: Layout, keep_logs: bool = False) -> None:
    """End the node, if one runs, and take away all that it, or one that crashed, has left. Raises Trouble."""
    node = running(layout)
    if node is not None:
        for pid in (node.first, node.guard):
            _kill(pid)
        wait(lambda: not node.alive(), 20, "the node's first process has ended")
    if not cgroups.clear():
        raise Trouble(f"the node's processes must end, and {sorted(cgroups.processes())} do not: look at them with `ps`")
    if Path("/sys/class/net", told.LINK).exists():
        command = ("ip", "link", "delete", told.LINK)  # it may go by itself meanwhile, with the node's network
        subprocess.run(command, env=debian.programs().environment(), capture_output=True, check=False)  # noqa: S603
    if not layout.state.exists():
        return
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if inside := [path for path in mounted if path.startswith(f"{layout.state}/")]:
        raise Trouble(f"nothing must be mounted in {layout.state} before it is taken away, and {inside[0]} is: unmount it")
    if keep_logs and layout.logs.exists():
        kept = parts.cache() / "log"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(layout.logs, kept, ignore=shutil.ignore_patterns("pods", "containers"), dirs_exist_ok=True)
    shutil.rmtree(layout.state)


def wait(fn: Callable[[], object], seconds: float, what: str) -> None:
    """Wait until `fn()` is true. Raises Trouble after so many seconds."""
    deadline = time.monotonic() + seconds
    while not fn():
        if time.monotonic() > deadline:
            raise Trouble(f"within {seconds:g} s it must be so that {what}, and is not: the node's logs say why")
        time.sleep(0.05)


def _configure(layout: Layout, programs: debian.Programs) -> None:
    (layout.state / "network").mkdir()
    (layout.state / "lib").mkdir()
    for path, text in (
        ("containerd.toml", told.containerd_config(layout, programs.network_plugins)),
        ("network/pods.conflist", told.network_config()),
        ("kubelet.json", told.kubelet_config(layout)),
        ("kube-proxy.json", told.proxy_config(layout)),
    ):
        (layout.state / path).write_text(text)


def _launch(layout: Layout, programs: debian.Programs) -> Node:
    command = (
        "unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child=KILL", "--mount-proc",
        sys.executable, "-m", "deploy.cluster.node", str(layout.plan),
    )  # fmt: skip
    with (layout.logs / "node.log").open("ab") as log:
        guard = subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            env=programs.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    children = Path(f"/proc/{guard.pid}/task/{guard.pid}/children")
    wait(lambda: guard.poll() is None and children.read_text(), 10, "the node's first process runs")
    node = Node(guard.pid, int(children.read_text().split()[0]), born(guard.pid))
    layout.record.write_text(json.dumps(node.__dict__))
    return node


def _connect(node: Node, programs: debian.Programs) -> None:
    """A cable from the machine to the node, and the ways to its pods and services."""
    for command in (
        f"link add {told.LINK} type veth peer name eth0 netns {node.first}",
        f"address add {told.MACHINE_ADDRESS}/{told.LINK_PREFIX} dev {told.LINK}",
        f"link set {told.LINK} up",
        f"route add {told.PODS} via {told.NODE_ADDRESS}",
        f"route add {told.SERVICES} via {told.NODE_ADDRESS}",
    ):
        done = subprocess.run(  # noqa: S603
            ["ip", *command.split()],  # noqa: S607
            env=programs.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Trouble(f"`ip {command}` must work, and says {done.stderr.strip()!r}: is the address in use on this machine?")


def _furnish(layout: Layout, node: Node, kubernetes: Path, programs: debian.Programs) -> None:
    wait(lambda: node.alive() and layout.containerd.exists(), READY, "containerd answers")
    for source, name in ((parts.PAUSE, told.PAUSE_IMAGE), (parts.COREDNS, told.COREDNS_IMAGE)):
        archive = oci.write(layout.state / f"{source.name}.tar", name, source.program)
        load(layout, archive, programs)
        archive.unlink()
    wait(lambda: node.alive() and answers(layout), READY, "the API server is ready")
    kubectl = (str(kubernetes), "kubectl", f"--kubeconfig={layout.kubeconfig}")
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": addons.objects()})

    def run(*arguments: str, given: str | None = None) -> bool:
        return subprocess.run([*kubectl, *arguments], input=given, text=True, capture_output=True, check=False).returncode == 0  # noqa: S603

    wait(lambda: run("apply", "--server-side", "-f", "-", given=listed), 30, "the addons are accepted")
    wait(lambda: run("wait", "--for=condition=Ready", "node/windrow", "--timeout=5s"), READY, "the node is ready")
    wait(
        lambda: run("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=5s"), READY, "names are answered"
    )
    wait(lambda: run("get", "serviceaccount", "default"), 30, "the default account is there")


def load(layout: Layout, archive: Path, programs: debian.Programs) -> None:
    """Load an image archive into the node. Raises Trouble."""
    command = ("ctr", "--address", str(layout.containerd), "-n", "k8s.io", "images", "import", "--digests=false", str(archive))
    done = subprocess.run(command, env=programs.environment(), capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise Trouble(f"{archive} must be loaded into the node, and containerd says {done.stderr.strip()[-500:]!r}")


def answers(layout: Layout) -> bool:
    """Whether the API server is ready."""
    try:
        config = json.loads(layout.kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        trust = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        headers = {"Authorization": f"Bearer {config['users'][0]['user']['token']}"}
        request = urllib.request.Request(f"{cluster['server']}/readyz", headers=headers)  # noqa: S310
        with urllib.request.urlopen(request, timeout=2, context=trust) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def enforces(layout: Layout) -> bool:
    """Whether the node refuses what its NetworkPolicies do not allow."""
    return False
