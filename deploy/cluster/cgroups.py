"""The node's cgroups: `/windrow/system` for its programs, `/windrow/kubepods` for its pods, with cgroup v1 and v2."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.cluster.layout import NODE
from deploy.cluster.parts import Missing

ROOT = Path("/sys/fs/cgroup")
NEEDED = ("cpu", "memory", "pids")


def hierarchies(root: Path = ROOT) -> tuple[Path, ...]:
    """The root of each hierarchy: one with cgroup v2, one for each controller with v1."""
    if (root / "cgroup.controllers").exists():
        return (root,)
    return tuple(
        sorted({path.resolve() for path in root.iterdir() if (path / "cgroup.procs").exists()} if root.exists() else ())
    )


def make(root: Path = ROOT) -> None:
    """Make the node's cgroups. Raises Missing where that can't be done."""
    found = hierarchies(root)
    given = (root / "cgroup.controllers").read_text().split() if found == (root,) else [path.name for path in found]
    lacking = [name for name in NEEDED if not any(name in each.split(",") for each in given)]
    if lacking:
        raise Missing(f"cgroups of {', '.join(NEEDED)} must be there under {root}, and {', '.join(lacking)} not: mount them")
    for hierarchy in found:
        group = hierarchy / NODE / "system"
        try:
            if found == (root,):
                _delegate(root)
                (root / NODE).mkdir(exist_ok=True)
                _delegate(root / NODE)
            group.mkdir(parents=True, exist_ok=True)
            for each in (group.parent, group):
                for name in ("cpuset.cpus", "cpuset.mems"):
                    if (each / name).exists() and found != (root,) and not (each / name).read_text().strip():
                        (each / name).write_text((each.parent / name).read_text())
        except OSError as reason:
            raise Missing(
                f"cgroups must be writable for a node, and {group} can't be made ({reason}): run as root of a machine"
            ) from reason


def _delegate(group: Path) -> None:
    given = (group / "cgroup.controllers").read_text().split()
    (group / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in given))


def join(part: str, root: Path = ROOT) -> None:
    """Put this process into a part of the node's cgroups."""
    for hierarchy in hierarchies(root):
        (hierarchy / NODE / part / "cgroup.procs").write_text("0")


def processes(root: Path = ROOT) -> set[int]:
    """The node's processes, pods among them, by their pids as this process sees them."""
    return {int(pid) for group in _groups(root) for pid in _read(group / "cgroup.procs").split() if pid != "0"}


def clear(root: Path = ROOT, patience: float = 20.0) -> bool:
    """Kill what is left in the node's cgroups and take them away; False when something stays."""
    deadline = time.monotonic() + patience
    while left := processes(root):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    while groups := list(_groups(root)):
        for group in groups:
            try:
                group.rmdir()
            except OSError:
                continue  # a process that was killed is still on its way out
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _groups(root: Path) -> Iterator[Path]:
    """The node's cgroups, inner ones first."""
    for hierarchy in hierarchies(root):
        top = hierarchy / NODE
        if top.exists():
            yield from (Path(folder) for folder, _, _ in os.walk(top, topdown=False))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
