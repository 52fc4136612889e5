"""Whether a node can be made on this machine; where it can't, one sentence says what must hold, what is so and what to do."""

from __future__ import annotations

import ipaddress
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

from deploy.cluster import layout as told
from deploy.cluster.parts import Missing

ELSE = "or name a cluster: `make cluster KUBECONFIG=path`"


@dataclass(frozen=True)
class Machine:
    """What a node needs of a machine, as it was found."""

    system: str
    user: int
    filesystems: frozenset[str]
    unshare: bool
    routes: tuple[str, ...] = field(default=())
    """The machine's networks, a default route left out."""

    @classmethod
    def found(cls) -> Machine:
        """This machine."""
        known = Path("/proc/filesystems")
        return cls(
            sys.platform,
            os.geteuid() if hasattr(os, "geteuid") else -1,
            frozenset(line.split()[-1] for line in known.read_text().splitlines()) if known.exists() else frozenset(),
            shutil.which("unshare") is not None,
            _routes(),
        )


def check(machine: Machine) -> None:
    """Raise Missing where no node can be made."""
    if machine.system != "linux":
        raise Missing(f"a node is made of Linux' own parts, and this machine runs {machine.system!r}: start Docker, {ELSE}")
    if machine.user != 0:
        raise Missing(f"a node must be started by root (it mounts and routes), not by user {machine.user}: use sudo, {ELSE}")
    if "overlay" not in machine.filesystems:
        raise Missing(f"the kernel must know the file system overlay for containers, and does not: `modprobe overlay`, {ELSE}")
    if not machine.unshare:
        raise Missing(f"`unshare` (util-linux) must be on the PATH for a node of its own, and is not: install it, {ELSE}")
    link = ipaddress.ip_network(f"{told.MACHINE_ADDRESS}/{told.LINK_PREFIX}", strict=False)
    for ours in (ipaddress.ip_network(told.PODS), ipaddress.ip_network(told.SERVICES), link):
        for route in machine.routes:
            if ours.overlaps(ipaddress.ip_network(route)):
                raise Missing(
                    f"the addresses {ours} must be free on this machine for a cluster, and it has a route to {route}: "
                    f"{ELSE[3:]}"
                )


def _routes() -> tuple[str, ...]:
    """The networks of this machine's routing table that are not the node's."""
    table = Path("/proc/net/route")
    found = []
    for line in table.read_text().splitlines()[1:] if table.exists() else []:
        name, destination, _, _, _, _, _, mask = line.split()[:8]
        address, bits = (int.from_bytes(bytes.fromhex(part), "little") for part in (destination, mask))
        if bits and name != told.LINK:
            found.append(f"{ipaddress.ip_address(address)}/{bits.bit_count()}")
    return tuple(found)
