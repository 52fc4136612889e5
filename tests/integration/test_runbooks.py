"""Every command of every runbook, run as it stands against a running platform."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from celery import Celery

from tests.runbooks import Command, commands
from tests.waiting import wait_until
from windrow.authoring.install import install
from windrow.local.platform import Platform, find, server_url

ROOT = Path(__file__).resolve().parents[2]
TASK = "tests.apps.evidence.fail"
QUEUES = """\
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: work}
spec: {app: "tests.apps.evidence:app", concurrency: 1, scaling: {maxReplicas: 1}}
---
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: reports}
spec: {app: "tests.apps.evidence:app", concurrency: 1, scaling: {maxReplicas: 1}}
"""


@dataclass
class OnCall:
    """A person's shell beside a platform on one machine, with the names of docs/oncall.md set."""

    platform: Platform
    environment: dict[str, str]

    def run(self, line: str, **names: str) -> subprocess.CompletedProcess[str]:
        """One line of a runbook, in a shell in which every part of a pipe must succeed."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            env={**self.environment, **names},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def call(self, task: str, *args: Any, **options: Any) -> str:
        """Call a task of the queue; its id."""
        app = install(Celery("producer"), self.platform.redis_url)
        return str(app.send_task(task, args, queue="work", **options).id)


@pytest.fixture
def person(state_dir: Path, tmp_path: Path) -> Iterator[OnCall]:
    """A platform with a failed execution on record."""
    (tmp_path / "windrow.yaml").write_text(QUEUES, encoding="utf-8")
    hidden = ("REDIS_URL", "DATABASE_URL")
    environment = {key: value for key, value in os.environ.items() if key not in hidden and not key.startswith("WINDROW_")}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "EVIDENCE": str(tmp_path / "evidence"),
        "WINDROW_STATE": str(state_dir),
        "WINDROW_PORT": "0",
    }
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen(["windrow", "up"], cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        platform = wait_until(lambda: _of(state_dir, up), 90, "the platform is up")
        server = wait_until(lambda: server_url(state_dir), 60, "its server listens")
        environment |= {"QUEUE": "work", "NAME": "work", "OTHER": "reports", "TASK": TASK, "SERVER": server}
        made = OnCall(platform, environment)
        environment["ID"] = made.call(TASK, "a reason")
        wait_until(lambda: _failed(made), 60, "its failure is on record", pause=0.5)
        yield made
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(60)
        finally:
            up.kill()


def _of(state_dir: Path, up: subprocess.Popen[bytes]) -> Platform | None:
    assert up.poll() is None
    return find(state_dir)


def _failed(person: OnCall) -> bool:
    return TASK in person.run('windrow executions --queue "$QUEUE" --only failed').stdout


def _each_once(found: list[Command]) -> list[Command]:
    return list({command.line: command for command in found}.values())


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_every_command_for_any_platform_succeeds(person: OnCall) -> None:
    """Each line of each `bash` block ends with code 0, in the pages' order."""
    lines = _each_once(commands("bash"))
    assert len(lines) > 25
    failed = []
    for command in lines:
        # What has ended can't be cancelled: that one is about a call that waits.
        names = {"ID": person.call("tests.apps.evidence.add", 1, 2, countdown=3600)} if "cancel" in command.line else {}
        if names:
            wait_until(
                lambda names=names: person.run('windrow show "$ID"', **names).returncode == 0, 60, "the call is on record"
            )
        done = person.run(command.line, **names)
        if done.returncode != 0:
            failed.append(f"{command.page}: {command.line}\n{done.stdout}{done.stderr}")
    assert not failed, "\n".join(failed)


def test_every_sql_statement_is_accepted_by_the_database(migrated_database_url: str) -> None:
    """What a runbook gives to psql runs on Windrow's tables."""
    statements = [shlex.split(command.line)[-1] for command in commands("bash kubectl") if " psql " in command.line]
    assert len(statements) > 3

    async def run() -> None:
        connection = await asyncpg.connect(migrated_database_url)
        try:
            for statement in dict.fromkeys(statements):
                await connection.fetch(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_every_redis_command_is_accepted_by_redis(redis_client: redis.Redis) -> None:
    """What a runbook gives to redis-cli is a command of Redis, with its arguments."""
    before = redis_client.config_get("maxmemory")["maxmemory"]
    found = [command.line.partition(" redis-cli ")[2] for command in commands("bash kubectl") if " redis-cli " in command.line]
    assert len(found) > 3
    try:
        for line in dict.fromkeys(found):
            redis_client.execute_command(*shlex.split(line))
    finally:
        redis_client.config_set("maxmemory", before)


@pytest.mark.parametrize("kind", ["bash", "bash kubectl"])
def test_a_line_is_a_command_of_its_own(kind: str) -> None:
    """No line goes on in the next: at three in the morning lines are copied one by one."""
    assert [command for command in commands(kind) if re.search(r"(\\|\||&&|;)$", command.line)] == []
