"""Programs from Debian's packages, unpacked into the user's cache folder: nothing is installed into the system.

What is on the PATH already is used as it is. A program that was unpacked is called through a small script that says where its
libraries are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster.parts import BuildFailed, Missing, alone, cache, say

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "runc": ("runc",),
    "containernetworking-plugins": (),
    "iptables": ("iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"),
    "ipset": ("ipset",),
    "conntrack": ("conntrack",),
    "iproute2": ("ip",),
    "buildah": ("buildah",),
    "debootstrap": ("debootstrap",),
}
"""Packages, and what each is needed for. The network plugins are a folder of programs: `Programs.network_plugins`."""
PLUGINS = ("ptp", "host-local", "loopback")
_MULTICALL = "xtables-nft-multi"
_NETWORK_PLUGINS = ("/usr/lib/cni", "/opt/cni/bin")


@dataclass(frozen=True)
class Programs:
    """Where the programs are."""

    path: str
    """A PATH with all of them."""
    network_plugins: Path
    policy: Path
    """The rule file without which buildah takes no image."""
    libraries: Path | None = None
    """The folder of unpacked libraries, if there is one."""

    def environment(self, **more: str) -> dict[str, str]:
        """The environment that a program of these is called in."""
        return {"PATH": self.path, "HOME": os.environ.get("HOME", "/root"), "LC_ALL": "C.UTF-8", **more}


def wrapper(root: Path, program: Path, libraries: Path) -> str:
    """The script that calls a program which was unpacked into `root`."""
    called = f'"{program}"'
    if program.name.startswith(("iptables", "ip6tables")):
        called = f'"{root}/usr/sbin/{_MULTICALL}" {program.name}'
    lines = [
        f'export LD_LIBRARY_PATH="{libraries}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"',
        f'export XTABLES_LIBDIR="{libraries}/xtables"',
    ]
    if program.name == "debootstrap":
        lines.append(f'export DEBOOTSTRAP_DIR="{root}/usr/share/debootstrap"')
    return "\n".join(["#!/bin/sh", *lines, f'exec {called} "$@"', ""])


def lacking() -> tuple[str, ...]:
    """The packages that have a program which is not on the PATH."""
    searched = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name, programs in PACKAGES.items() if any(shutil.which(one, path=searched) is None for one in programs)]
    if not any((Path(folder) / PLUGINS[0]).exists() for folder in _NETWORK_PLUGINS):
        missing.append("containernetworking-plugins")
    return tuple(missing)


def programs() -> Programs:
    """The programs; packages that the system lacks are downloaded and unpacked once. Raises Missing and BuildFailed."""
    needed = lacking()
    system = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
    plugins = next((Path(folder) for folder in _NETWORK_PLUGINS if (Path(folder) / PLUGINS[0]).exists()), None)
    if not needed:
        return Programs(system, plugins or Path(_NETWORK_PLUGINS[0]), Path("/etc/containers/policy.json"))
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing(
            f"a cluster is made from programs of {', '.join(needed)}, which must be installed where apt-get is not: "
            "install them, or name a cluster with KUBECONFIG"
        )
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    digest = hashlib.sha256("\0".join((release, *needed, wrapper(Path("/"), Path("/x"), Path("/")))).encode()).hexdigest()[:12]
    folder = cache() / f"debian-{digest}"
    with alone(cache() / f"debian-{digest}.lock"):
        if not folder.exists():
            _unpack(needed, folder)
    if plugins is None:
        plugins = folder / "root" / "usr" / "lib" / "cni"
    policy = folder / "root" / "etc" / "containers" / "policy.json"
    return Programs(f"{folder / 'bin'}:{system}", plugins, policy, _libraries(folder / "root"))


def _unpack(packages: tuple[str, ...], folder: Path) -> None:
    say(f"unpacking {', '.join(packages)} into {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="debian-") as made:
        half = Path(made) / "half"
        root, programs, archives = half / "root", half / "bin", Path(made) / "archives"
        for each in (root, programs, archives / "partial"):
            each.mkdir(parents=True)
        for archive in download(packages, archives):
            _run("dpkg-deb", "-x", str(archive), str(root))
        final = folder / "root"
        libraries = final / _libraries(root).relative_to(root)
        for package in packages:
            for name in PACKAGES[package]:
                found = next(
                    (path for place in ("usr/bin", "usr/sbin", "bin", "sbin") if (path := root / place / name).exists()), None
                )
                called = final / (found.relative_to(root) if found else Path("usr/sbin") / name)
                (programs / name).write_text(wrapper(final, called, libraries))
                (programs / name).chmod(0o755)
        half.rename(folder)


def _libraries(root: Path) -> Path:
    return next(iter(sorted((root / "usr/lib").glob("*-linux-gnu*"))), root / "usr/lib")


def download(packages: tuple[str, ...], archives: Path) -> list[Path]:
    """The packages' files, and those of what they depend on and the system lacks, in `archives`. Raises BuildFailed."""
    command = (
        "apt-get", "install", "--download-only", "--no-install-recommends", "--reinstall", "-y", "-qq",
        "-o", f"Dir::Cache::archives={archives}", *packages,
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        _run("apt-get", "update", "-qq")
        _run(*command)
    return sorted(archives.glob("*.deb"))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise BuildFailed(f"`{' '.join(command[:3])}` failed: " + " / ".join(done.stderr.strip().splitlines()[-3:]))
