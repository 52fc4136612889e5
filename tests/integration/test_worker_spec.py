"""A worker as a pod starts it: its QueueWorker in the environment, and what it tells of itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import ROOT, Work, producer, working
from windrow.broker.observe import _workers, workers
from windrow.worker.warden import children_of


def _spec(**spec: Any) -> str:
    document = {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": "in-a-pod"}, "spec": spec}
    return json.dumps(document)


def test_windrow_spec_is_served_and_capped_tasks_are_told(redis_url: str, tmp_path: Path) -> None:
    """`windrow worker` alone serves what WINDROW_SPEC says; its registration names each task that the hard limit cuts."""
    spec = _spec(queue="work", app="tests.apps.evidence:app", concurrency=1, timeLimits={"hard": "5s"})
    add = producer(redis_url, evidence.app).tasks["tests.apps.evidence.add"]
    env = {**os.environ, "REDIS_URL": redis_url, "WINDROW_SPEC": spec, "PYTHONPATH": str(ROOT)}
    with working(redis_url, tmp_path) as work, (tmp_path / "workers.log").open("ab") as log:
        command = [sys.executable, "-m", "windrow.cli", "worker"]
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
        work.processes.append(process)
        assert add.apply_async((1, 2), queue="work").get(timeout=30) == 3
        registered = wait_until(lambda: workers(work.client), 5, "it registers")[0]
        assert (registered.name, registered.queue, registered.slots) == ("in-a-pod", "work", 1)
        assert [name.rpartition(".")[2] for name in registered.capped] == sorted(
            name.rpartition(".")[2]
            for name, task in evidence.app.tasks.items()
            if name.startswith("tests.apps.evidence.") and (task.time_limit or 0) > 5
        )
        assert registered.capped
        assert f"capped for {', '.join(registered.capped)}; raise spec.timeLimits.hard" in work.log()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


CONTAINER = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""A pid namespace of its own, as a container has it."""
in_a_container = pytest.mark.skipif(
    subprocess.run([*CONTAINER, "true"], capture_output=True).returncode != 0, reason="no pid namespace may be made here"
)


def _first_process(work: Work, env: dict[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    with (work.folder / "workers.log").open("ab") as log:
        command = [*CONTAINER, sys.executable, "-m", "windrow.cli", "worker"]
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
    work.processes.append(process)
    return process, wait_until(lambda: children_of(process.pid), 5, "it has begun")[0]


@in_a_container
@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_a_worker_can_be_a_containers_first_process(redis_url: str, tmp_path: Path, pool: str) -> None:
    """It runs tasks, and drains at SIGTERM."""
    add = producer(redis_url, evidence.app).tasks["tests.apps.evidence.add"]
    spec = _spec(queue="work", app="tests.apps.evidence:app", concurrency=1, pool=pool)
    with working(redis_url, tmp_path) as work:
        process, first = _first_process(work, {"REDIS_URL": redis_url, "WINDROW_SPEC": spec, "PYTHONPATH": str(ROOT)})
        assert add.apply_async((1, 2), queue="work").get(timeout=30) == 3
        assert workers(work.client)[0].pid == 1
        os.kill(first, signal.SIGTERM)
        assert process.wait(20) == 0
        assert workers(work.client) == []


@in_a_container
def test_a_stop_during_the_start_of_a_containers_first_process_is_heard(redis_url: str, tmp_path: Path) -> None:
    """The kernel drops what its first process does not handle: a pod that is stopped as it starts would stay for its grace."""
    (tmp_path / "slow_to_import.py").write_text(
        "import pathlib, time\npathlib.Path(__file__).with_name('begun').touch()\ntime.sleep(60)\n"
    )
    spec = _spec(queue="work", app="slow_to_import:app")
    with working(redis_url, tmp_path) as work:
        env = {"REDIS_URL": redis_url, "WINDROW_SPEC": spec, "PYTHONPATH": str(tmp_path)}
        process, first = _first_process(work, env)
        wait_until((tmp_path / "begun").exists, 20, "it imports the app")
        os.kill(first, signal.SIGTERM)
        assert process.wait(5) == 0


def test_a_worker_of_an_earlier_release_has_no_capped_tasks() -> None:
    """Its registration lacks the field."""
    told = {"queue": "q", "name": "q", "host": "h", "pid": 1, "slots": 2, "metrics": None, "started": 1.0, "version": "0"}
    assert _workers({b"q/h/1/a": json.dumps(told).encode()}, {}, {})[0].capped == ()
