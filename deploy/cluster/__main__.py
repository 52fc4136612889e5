"""`python -m deploy.cluster up | down | status | images | built | enter COMMAND… | tool NAME`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from deploy.cluster import BuildFailed, Missing, Trouble, control, parts, release
from deploy.cluster.choice import Way
from deploy.cluster.cluster import Cluster
from deploy.cluster.parts import say

VERBS = ("up", "down", "status", "images", "built", "enter", "tool")
USAGE = "python -m deploy.cluster up | down | status | images | built | enter COMMAND… | tool NAME"


def main(arguments: list[str]) -> int:
    """Do what is asked; 0 when it was done, 1 when it can't be, with a sentence."""
    if not arguments or arguments[0] not in VERBS:
        say(f"what to do must be named: {USAGE}")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _do(arguments[0], arguments[1:])
    except (Missing, BuildFailed, Trouble) as reason:
        say(str(reason))
        return 1
    except KeyboardInterrupt:
        say("interrupted: what was begun is taken away")
        return 130


def _do(verb: str, rest: list[str]) -> int:
    begun = time.monotonic()
    if verb == "up":
        _show(control.up())
        say(f"up in {time.monotonic() - begun:.1f} s")
    elif verb == "down":
        control.down()
        say(f"down in {time.monotonic() - begun:.1f} s")
    elif verb == "images":
        for tag in release.provide(_running()):
            print(tag)
        say(f"images there in {time.monotonic() - begun:.1f} s")
    elif verb == "built":
        if lacking := control.unbuilt():
            raise Missing(f"{', '.join(lacking)} must be built, and not yet: `make cluster` builds what is missing, once")
    elif verb == "tool":
        if not rest or rest[0] not in parts.SOURCES:
            raise Missing(f"a tool must be one of {', '.join(parts.SOURCES)}, not {' '.join(rest)!r}")
        print(parts.build(parts.SOURCES[rest[0]]))
    elif verb == "enter":
        cluster = _running()
        os.execvp(cluster.enter[0], [*cluster.enter, *(rest or ["sh"])])  # noqa: S606
    else:
        cluster = _running()
        _show(cluster)
        return subprocess.run([*cluster.kubectl, "get", "nodes,pods", "-A", "-o", "wide"], check=False).returncode  # noqa: S603
    return 0


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _running() -> Cluster:
    cluster = control.find()
    if cluster is None:
        raise Missing("a cluster must run, and does not: `make cluster` starts one")
    return cluster


def _show(cluster: Cluster) -> None:
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    if cluster.way is not Way.NAMED:
        print(f"# kubectl: {' '.join(cluster.kubectl[:2])}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
