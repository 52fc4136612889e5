"""The runbooks' `bash kubectl` lines, each as it stands, with a release of the chart on a real API server.

What reaches into a pod (`exec`, `logs`) has nothing to reach here: nodes are played. Its objects and containers are compared
with the charts in tests/unit, its SQL and Redis commands run in tests/integration.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster import parts
from tests.cluster.control_plane import Plane
from tests.cluster.setting import drop_namespace
from tests.runbooks import Command, commands
from tests.waiting import wait_until
from tests.workers import ROOT

LEASE = '{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "windrow-operator"}}'
INSIDE_PODS = (" exec ", " logs ", " rollout status ")
LINES = {command.line: command for command in commands("bash kubectl") if not any(word in command.line for word in INSIDE_PODS)}

if not parts.HELM4.program.exists():
    pytest.skip("helm is not built: the runbooks' lines are NOT tried; `make test-cluster` builds it", allow_module_level=True)


@pytest.fixture
def person(plane: Plane, crd: None, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a person on call, with a release called windrow in a namespace of its own, and a queue's pod."""
    namespace = "windrow"
    drop_namespace(plane.api, namespace)
    wait_until(lambda: plane.api.find(f"/api/v1/namespaces/{namespace}") is None, 60, "the namespace is gone")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "helm").symlink_to(parts.HELM4.program)
    (folder / "kubectl").write_text(f'#!/bin/sh\nexec {" ".join(plane.kubectl)} "$@"\n')
    (folder / "kubectl").chmod(0o755)
    shutil.copy(ROOT / "deploy/examples/windrow.yaml", tmp_path)
    homes = {f"HELM_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "DATA")}
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "KUBECONFIG": str(plane.kubeconfig), **homes}
    environment |= {"NAMESPACE": namespace, "NAME": "default", "POD": "default-0", "EDITOR": "true", "HERE": str(tmp_path)}
    for line in (
        f"helm install windrow {ROOT / 'charts/windrow'} --skip-crds --namespace windrow --create-namespace",
        "kubectl --namespace windrow create deployment default --image=windrow --replicas=0",
        "kubectl --namespace windrow run default-0 --image=windrow --labels=windrow.dev/queueworker=default",
        f"kubectl --namespace windrow create -f - <<<'{LEASE}'",
    ):
        assert _run(line, environment).returncode == 0
    yield environment
    drop_namespace(plane.api, namespace)


def _run(line: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euc", line],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=environment["HERE"],
        env=environment,
    )


def test_every_line_is_what_kubectl_understands(person: dict[str, str]) -> None:
    """Verbs, flags, selectors, patches and output formats; lines about PodMonitors need their definition, and are left out."""
    found: list[Command] = [command for line, command in LINES.items() if "podmonitors" not in line]
    assert len(found) > 20
    failed = []
    for command in found:
        done = _run(command.line, person)
        if done.returncode != 0:
            failed.append(f"{command.page}: {command.line}\n{done.stdout}{done.stderr}")
    assert not failed, "\n".join(failed)
