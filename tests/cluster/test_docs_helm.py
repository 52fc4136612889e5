"""docs/helm.md, command by command, with the real helm on a real API server."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster import parts
from tests.cluster import setting
from tests.cluster.control_plane import Plane
from tests.cluster.setting import drop_namespace
from tests.waiting import wait_until
from tests.workers import ROOT

PAGE = (ROOT / "docs/helm.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run: (\w+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
NAMESPACE = "/api/v1/namespaces/windrow"

if not parts.HELM4.program.exists():
    pytest.skip("helm is not built: docs/helm.md is NOT tested; `make test-cluster` builds it", allow_module_level=True)


@pytest.fixture
def shell(plane: Plane, crd: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A person's environment with helm and kubectl, in a cluster without the page's namespace, before and after."""
    drop_namespace(plane.api, "windrow")
    wait_until(lambda: plane.api.find(NAMESPACE) is None, 60, "the namespace is gone")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "helm").symlink_to(parts.HELM4.program)
    (folder / "kubectl").write_text(f'#!/bin/sh\nexec {" ".join(plane.kubectl)} "$@"\n')
    (folder / "kubectl").chmod(0o755)
    homes = {f"HELM_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA")}
    yield {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "KUBECONFIG": str(plane.kubeconfig), **homes}
    drop_namespace(plane.api, "windrow")
    setting.install_crd(plane.api)


def run(text: str, environment: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_page_from_install_to_uninstall(shell: dict[str, str], plane: Plane) -> None:
    """Every command of the page works in its order, and what it says is kept is kept until it is told to go."""
    said = {kind: "" for kind, _ in BLOCKS}
    kept = ""
    for kind, commands in BLOCKS:
        if kind == "uninstall" and "delete pvc" in commands:
            kept = run("kubectl -n windrow get secret -o name; kubectl get crd -o name", shell)
        said[kind] += run(commands, shell)
    assert "WARNING: this release runs a Redis and a PostgreSQL of its own" in said["install"]
    assert "long-running" in said["install"]
    assert "mail" in said["queue"]
    assert "secret/windrow-evaluation" in kept
    assert "queueworkers.windrow.dev" in kept
    left = run("kubectl -n windrow get deploy,sts,qw,pvc -o name 2>/dev/null || true; kubectl get crd -o name", shell)
    assert "windrow.dev" not in left
    assert "windrow" not in left


def test_the_sentence_of_a_wrong_value_is_helms_own(shell: dict[str, str]) -> None:
    """What the page shows is what helm says."""
    done = subprocess.run(
        ["helm", "template", "windrow", "charts/windrow", "--set", "queues.mail.replicas=3"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=shell,
    )  # fmt: skip
    shown = re.search(r"```text\n(Error: .*?)```", PAGE, re.DOTALL)
    assert shown is not None
    assert shown[1].strip() in done.stderr
