"""The programs that a cluster of tests is made of: found, or built once into the user's cache folder.

`python -m tests.cluster.parts` builds what is missing and says where it is. `KUBEBUILDER_ASSETS` names a folder with
kube-apiserver, etcd and kubectl (and, if it has them, kube-controller-manager and kube-scheduler) that are used instead.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster import parts
from deploy.cluster.parts import BuildFailed, Missing, Source
from tests.cluster import checkov

HERE = Path(__file__).parent
KUBERNETES = parts.KUBERNETES.version
KWOK = "0.8.0"
_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


SOURCES = (
    parts.KUBERNETES,
    Source("kwok", KWOK, "sigs.k8s.io/kwok/cmd/kwok", parent=HERE),
)
CHART_TOOLS = (parts.HELM3, parts.HELM4, parts.HELM_UNITTEST, parts.KUBE_SCORE)
"""What the charts are tested with."""


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
    made.setdefault("etcd", parts.etcd())
    openssl = shutil.which("openssl")
    if openssl is None:
        raise Missing("openssl must be installed: it makes the key that signs the tokens of service accounts")
    return Parts(**{name.replace("-", "_"): command for name, command in made.items()}, openssl=(openssl,))


def build() -> Parts:
    """Build what is missing, which takes some minutes the first time, and find the programs. Raises Missing and BuildFailed."""
    assets = Path(os.environ.get("KUBEBUILDER_ASSETS") or "/nowhere")
    for source in (*SOURCES, *CHART_TOOLS):
        if source.name == "kubernetes" and all((assets / name).exists() for name in _PLANE):
            continue
        parts.build(source)
    checkov.install()
    return find()


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _them(names: list[str]) -> str:
    return "it" if len(names) == 1 else "them"


def main() -> int:
    """Build what is missing; answers 1 when that fails. Where it can't be had, the tests say so and are skipped."""
    try:
        found = build()
    except Missing as reason:
        print(f"nothing will be tested on a real API server: {reason}", file=sys.stderr)
        return 0
    except BuildFailed as reason:
        print(reason, file=sys.stderr)
        return 1
    for name, command in vars(found).items():
        print(f"{name}: {' '.join(command)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
