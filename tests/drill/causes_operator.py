"""What is wrong with the operators: two of them, on a real API server."""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from tests.chaos.processes import free_port
from tests.cluster import setting
from tests.cluster.control_plane import running
from tests.cluster.operators import Operators
from tests.cluster.parts import Missing, find
from tests.drill.cause import Cause, expect
from tests.drill.stage import Stage


def _not_here() -> str | None:
    try:
        find()
    except Missing as reason:
        return str(reason)
    return None


def _prepare(stage: Stage) -> None:
    """A control plane and two operators with one queue that nobody uses, among Prometheus' targets."""
    folder = Path(tempfile.mkdtemp(prefix="windrow-plane-"))
    stage.exits.callback(shutil.rmtree, folder, ignore_errors=True)
    plane = stage.exits.enter_context(running(find(), folder))
    namespace = setting.new_namespace(plane.api)
    setting.install_crd(plane.api)
    account = setting.operator_account(plane, namespace, folder / "operator.kubeconfig", watched=(namespace,))
    setting.platform_secret(plane.api, namespace, stage.redis.url)
    setting.make_queueworker(plane.api, namespace, "of-the-operator", {})
    operators = stage.kept["operators"] = Operators(stage.folder / "operators", account, namespace, stage.redis.url)
    stage.exits.callback(operators.stop)
    _start(stage)


def _start(stage: Stage) -> None:
    ports = stage.kept.setdefault("operators' ports", (free_port(), free_port()))
    for port in ports:
        stage.kept["operators"].start(env={"WINDROW_PORT": str(port)})
    stage.desk.extra[:] = [{"targets": [f"127.0.0.1:{port}"], "labels": {"__meta_windrow_role": "operator"}} for port in ports]
    stage.until(lambda: _leaders(stage) == 1, 60, "one operator leads, as Prometheus sees it")


def _leaders(stage: Stage) -> int:
    found: list[dict[str, Any]] = stage.tower.query("sum(windrow_operator_leader)")
    return int(float(found[0]["value"][1])) if found else 0


def _freeze(stage: Stage) -> None:
    for process in stage.kept["operators"].alive:
        process.send_signal(signal.SIGSTOP)


def _again(stage: Stage) -> None:
    """As Kubernetes does when their probes fail."""
    stage.kept["operators"].stop()
    _start(stage)


OPERATOR_LEADER = Cause(
    "operator_leader",
    "both operators are frozen (SIGSTOP), on a real API server",
    expect(["OperatorLeader"]),
    _freeze,
    _again,
    prepare=_prepare,
    not_here=_not_here,
)
