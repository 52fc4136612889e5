"""Starting, finding and ending the cluster, whichever way it comes about."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.cluster import host, kind, machine, parts
from deploy.cluster.choice import NAMED, Way, choose
from deploy.cluster.cluster import Cluster
from deploy.cluster.layout import Layout

LAYOUT = Layout()


def find() -> Cluster | None:
    """The cluster, if it runs (or is named). Raises Missing where the environment names none that can be."""
    way = _way()
    if way is Way.NAMED:
        return Cluster(way, Path(os.environ[NAMED]).resolve())
    if way is Way.KIND:
        return Cluster(way, kind.kubeconfig()) if kind.kubeconfig().exists() else None
    return Cluster(way, LAYOUT.kubeconfig, LAYOUT) if host.running(LAYOUT) and host.answers(LAYOUT) else None


def up() -> Cluster:
    """Start the cluster, or find it running. Raises Missing, BuildFailed and Trouble; what was begun is taken away then."""
    way = _way()
    if way is Way.NAMED:
        return Cluster(way, Path(os.environ[NAMED]).resolve())
    with parts.alone(parts.cache() / f"{LAYOUT.state.name}.lock"):
        found = find()
        if found is not None:
            return found
        if way is Way.KIND:
            return Cluster(way, kind.start())
        machine.check(machine.Machine.found())
        host.start(LAYOUT)
        return Cluster(way, LAYOUT.kubeconfig, LAYOUT)


def down() -> None:
    """End the cluster, and what one that crashed has left; a named one is not touched. Raises BuildFailed and Trouble."""
    way = _way()
    with parts.alone(parts.cache() / f"{LAYOUT.state.name}.lock"):
        if way is Way.KIND:
            kind.stop()
        elif way is Way.PARTS:
            host.stop(LAYOUT)


def unbuilt() -> list[str]:
    """What a cluster would have to build before it starts; nothing for one that is named or kind. Raises Missing."""
    if _way() is not Way.PARTS:
        return []
    machine.check(machine.Machine.found())
    needed = (parts.KUBERNETES, parts.HELM3, parts.HELM4, parts.NETWORK_POLICIES, parts.COREDNS, parts.PAUSE)
    return [source.name for source in needed if not source.program.exists()]


def _way() -> Way:
    named = os.environ.get(NAMED) or os.environ.get("WINDROW_CLUSTER")
    return choose(os.environ, docker_answers=not named and kind.docker_answers())
