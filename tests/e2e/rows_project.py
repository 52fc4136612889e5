"""A user's own plain Celery project, in an image of its own, beside the release: deploy/examples/own-project as it stands."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.e2e.row import Outcome
from tests.e2e.stage import ROOT, Stage, Wrong

EXAMPLE = ROOT / "deploy/examples/own-project"
OWN_TASKS = ROOT / "deploy/examples/own-tasks"


def project(stage: Stage) -> Outcome:
    """Its image has Windrow as one package more, its app one line more; its tasks run and are on record."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "project"
        shutil.copytree(EXAMPLE, context)
        wheel = _wheel(context)
        arguments = {"WINDROW": f"windrow[init] @ file:///app/{wheel}"} | (
            {"BASE": stage.cluster.base} if stage.cluster.base else {}
        )
        stage.cluster.build(context, "example/shop:1", args=arguments)
    stage.cluster.build(OWN_TASKS, "example/mail:1", args={"WINDROW": f"windrow/windrow:{stage.version}"})
    stage.cluster.load("example/shop:1", "example/mail:1")
    stage.kubectl("apply", "-f", str(EXAMPLE / "queues.yaml"))
    mail = {
        "apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": "mail"},
        "spec": {"app": "mail:app", "template": {"image": "example/mail:1"}},
    }  # fmt: skip
    stage.apply(mail)
    ids = stage.send("shop.orders.ship", "orders", [[number] for number in range(20)])
    ids += stage.send("shop.orders.total", "orders", [[["a", "b"]]])
    ids += stage.send("mail.send", "mail", [["ada@example.org"]] * 3)
    stage.wait(lambda: set((found := stage.records(ids)).values()) == {"success"} and len(found) == len(ids), 90, "all succeed")
    outcome.accepted = len(ids)
    stage.kubectl("delete", "-f", str(EXAMPLE / "queues.yaml"))
    stage.kubectl("delete", "qw", "mail")
    return outcome


def _wheel(context: Path) -> str:
    """The wheel of this checkout, in the build's context, where the project's pip takes it from."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(context)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise Wrong(f"the wheel must be built, and hatchling says: {built.stderr[-300:]}")
    (wheel,) = context.glob("*.whl")
    return wheel.name
