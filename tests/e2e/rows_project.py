"""A user's own work beside the platform's queues, from `deploy/examples`: a Celery project, and tasks on Windrow's image."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.row import Outcome
from tests.e2e.stage import ROOT, Stage, Wrong, clock

PROJECT = ROOT / "deploy/examples/own-project"
OWN_TASKS = ROOT / "deploy/examples/own-tasks"
IMAGE, MAIL_IMAGE = "example/shop:1", "example/mail:1"
MAILS = 4
ORDERS = 12
SELL = f"""
import json
from celery import chord
import shop.celery
from shop.orders import ship, total
sold = chord((ship.s(order) for order in range({ORDERS})), total.s()).delay()
count = sold.get(timeout=120)
print(json.dumps({{
    "ids": [sold.id, *(one.id for one in sold.parent.results)],
    "count": count,
    "shipped": [one.get(timeout=30) for one in sold.parent.results],
}}))
"""
"""What the user's own program does: plain Celery, results included."""
_SOURCE_DATE = 1_700_000_000


def build_examples(stage: Stage) -> None:
    """The project's image (own base, own venv, Windrow as a wheel), and that of three lines on Windrow's."""
    with tempfile.TemporaryDirectory() as folder:
        context = Path(folder) / "project"
        shutil.copytree(PROJECT, context, ignore=shutil.ignore_patterns("__pycache__"))
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(context)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise Wrong(f"Windrow's wheel must build: {done.stderr[-500:]}")
        (wheel,) = context.glob("*.whl")
        os.utime(wheel, (_SOURCE_DATE, _SOURCE_DATE))  # the same wheel is the same layer
        base = {"BASE": stage.cluster.base} if stage.cluster.base else {}
        stage.cluster.build(context, IMAGE, args={**base, "WINDROW": f"windrow[init] @ file:///app/{wheel.name}"})
    stage.cluster.build(OWN_TASKS, MAIL_IMAGE, args={"WINDROW": f"windrow/windrow:{stage.version}"})
    stage.cluster.load(IMAGE, MAIL_IMAGE)


def own_project(stage: Stage) -> Outcome:
    """A chord of plain Celery with its results, on workers that come for it and go with their QueueWorker."""
    outcome = Outcome()
    specs = list(yaml.safe_load_all((PROJECT / "queues.yaml").read_text()))
    specs.append(_mail())
    stage.apply(*specs, namespace=stage.namespace)
    stage.start_producer(IMAGE, "shopper")
    names = [spec["metadata"]["name"] for spec in specs]
    stage.served(*names)
    mails = stage.send("mail.send", "mail", [["ada@example.org"]] * MAILS)
    begun = clock()
    said = json.loads(stage.kubectl("exec", "shopper", "--", "python", "-c", SELL))
    outcome.notes["chord_s"] = round(clock() - begun, 1)
    ids = [*said["ids"], *mails]

    def final() -> bool:
        records = stage.records(ids)
        return set(records) == set(ids) and set(records.values()) == {"success"}

    stage.wait(final, 30, f"all {len(ids)} tasks of the project are a success on record", pause=1)
    outcome.accepted, outcome.repeated = len(ids), _attempts(stage, ids) - len(ids)
    outcome.check(outcome.repeated == 0, f"repeated must be 0 and is {outcome.repeated}")
    outcome.check(said["count"] == ORDERS, f"the chord's body must count {ORDERS} orders, and counts {said['count']}")
    outcome.check(said["shipped"] == [f"{order} shipped" for order in range(ORDERS)], "each task must give its own result")
    stage.kubectl("delete", "qw", *names, "--timeout=60s")
    for name in names:
        stage.wait(lambda name=name: not stage.queue_pods(name, going=True), 60, f"the workers of {name} have gone with it")
    stage.kubectl("delete", "pod", "shopper", "--grace-period=0", "--force")
    return outcome


def _mail() -> dict[str, Any]:
    """The queue of the tasks on Windrow's image."""
    spec = {"app": "mail:app", "template": {"image": MAIL_IMAGE}}
    return {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": "mail"}, "spec": spec}


def _attempts(stage: Stage, ids: list[str]) -> int:
    listed = ",".join(f"'{one}'" for one in ids)
    return int(stage.sql(f"select sum(attempt_count) from windrow.executions where task_id in ({listed})")[0][0])
