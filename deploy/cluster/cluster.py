"""A cluster to try Windrow on, whichever way it came about: what tests and people do with it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from deploy.cluster import debian, host, kind, parts
from deploy.cluster.choice import Way
from deploy.cluster.images import Builder, build_base
from deploy.cluster.layout import Layout
from deploy.cluster.parts import Missing

KILL = """
for i in 1 2 3 4 5; do
  pids=$(find /sys/fs/cgroup -path '*{uid}*' -path '*{container}*' -name cgroup.procs -exec cat {{}} + 2>/dev/null |
    sort -u | grep -vx 0)
  [ -n "$pids" ] || exit 0
  kill -9 $pids 2>/dev/null
  [ $i = 1 ] && echo $pids
done
"""
"""Kills all processes of a container, as the kernel does with cgroup v2 when it is out of memory; prints the first it found."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    way: Way
    kubeconfig: Path
    layout: Layout = field(default=Layout())
    """Where the node's state is, if it is made of parts."""

    @cached_property
    def kubectl(self) -> tuple[str, ...]:
        """The beginning of kubectl's command line, the cluster among it."""
        return (str(parts.build(parts.KUBERNETES)), "kubectl", f"--kubeconfig={self.kubeconfig}")

    @cached_property
    def helm3(self) -> Path:
        """Helm 3; it reads `KUBECONFIG` or `--kubeconfig`."""
        return parts.build(parts.HELM3)

    @cached_property
    def helm4(self) -> Path:
        """Helm 4; it reads `KUBECONFIG` or `--kubeconfig`."""
        return parts.build(parts.HELM4)

    @cached_property
    def builder(self) -> Builder:
        """What builds images here, without a registry and without Docker."""
        return Builder(debian.programs())

    @property
    def base(self) -> str:
        """The base image for the build argument `BASE`; empty where Dockerfiles' own can be pulled."""
        return "" if self.way is Way.KIND else build_base(self.builder)

    def build(self, context: Path, tag: str, *, dockerfile: Path | None = None, args: Mapping[str, str] | None = None) -> str:
        """Build a Dockerfile and give the image's id. Raises BuildFailed."""
        if self.way is Way.KIND:
            return kind.build(context, tag, dockerfile=dockerfile, args=args or {})
        return self.builder.build(context, tag, dockerfile=dockerfile, args=args)

    def load(self, *tags: str) -> None:
        """Bring built images into the cluster, under the names that a pod names. One that is there already costs nothing."""
        if self.way is Way.NAMED:
            raise Missing(f"images must be pushed to where the named cluster pulls them: {', '.join(tags)}")
        if self.way is Way.KIND:
            return kind.load(*tags)
        loaded = self.layout.state / "loaded.json"
        known: dict[str, str] = json.loads(loaded.read_text()) if loaded.exists() else {}
        for tag in tags:
            archive = self.builder.archive(tag)
            if known.get(tag) != archive.name:
                host.load(self.layout, archive, debian.programs())
                known[tag] = archive.name
                loaded.write_text(json.dumps(known))
        return None

    @property
    def enforces_network_policies(self) -> bool:
        """Whether the cluster's network refuses what a NetworkPolicy does not allow; of a named one nothing is known."""
        return self.way is Way.KIND or (self.way is Way.PARTS and host.enforces(self.layout))

    @property
    def enter(self) -> tuple[str, ...]:
        """The beginning of a command that runs on the node. Raises Missing for a cluster that was named."""
        if self.way is Way.NAMED:
            raise Missing("a command on a node must be run on a cluster that was made here, not on one that was named")
        if self.way is Way.KIND:
            return kind.ENTER
        node = host.running(self.layout)
        if node is None:
            raise Missing("the node must run, and does not: `make cluster` starts it")
        return ("nsenter", "-t", str(node.first), "-m", "-p", "-n", "--")

    def kill_container(self, namespace: str, pod: str, container: str = "") -> list[int]:
        """Kill all processes of a pod's container (the first, unless one is named) at once; the pids that the node had."""
        found = subprocess.run(  # noqa: S603
            [*self.kubectl, "-n", namespace, "get", "pod", pod, "-o", "json"], capture_output=True, text=True, check=True
        )
        content = json.loads(found.stdout)
        statuses = [one for one in content["status"]["containerStatuses"] if container in ("", one["name"])]
        identity = statuses[0]["containerID"].rpartition("/")[2]
        script = KILL.format(uid=content["metadata"]["uid"].replace("-", "?"), container=identity)
        said = subprocess.run([*self.enter, "sh", "-c", script], capture_output=True, text=True, check=True).stdout  # noqa: S603
        return [int(pid) for pid in said.split()]
