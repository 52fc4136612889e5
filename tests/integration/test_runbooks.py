"""Every command of every runbook, run as it stands against a running platform."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import redis

from tests.platforms import Up, up
from tests.runbooks import Command, commands
from tests.waiting import wait_until

TASK = "tests.apps.evidence.tell_and_fail"
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
    """A person's shell beside a platform, with the names of docs/oncall.md set."""

    up: Up
    names: dict[str, str]

    def run(self, line: str, **names: str) -> subprocess.CompletedProcess[str]:
        """One line of a runbook, in a shell in which every part of a pipe must succeed."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            env={**self.up.environment, **self.names, **names},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def person(state_dir: Path, tmp_path: Path) -> Iterator[OnCall]:
    """Somebody beside a platform with a failed execution on record, which logged something."""
    with up(state_dir, tmp_path, QUEUES) as running:
        made = OnCall(running, {"QUEUE": "work", "NAME": "work", "OTHER": "reports", "TASK": TASK, "SERVER": running.server})
        made.names["ID"] = running.call("tell_and_fail", "a reason", queue="work")
        wait_until(lambda: _failed(made), 60, "its failure is on record", pause=0.5)
        yield made


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
        names = {"ID": person.up.call("add", 1, 2, queue="work", countdown=3600)} if "cancel" in command.line else {}
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
