"""The users of docs/redis.md have the rights that their part needs, and no more; on each server that Windrow supports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import chain, chord

from tests.apps import evidence
from tests.brokers import Broker
from tests.waiting import wait_until
from tests.workers import ROOT, Work, producer, working

PASSWORDS = {user: f"{user}-password" for user in ("producer", "worker", "server")}


def rules() -> list[list[str]]:
    """The commands of the page, ready to be sent."""
    lines = re.findall(r"^ACL SETUSER .*$", (ROOT / "docs" / "redis.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [line.split()[2] for line in lines] == list(PASSWORDS)
    return [line.split() for line in lines]


@pytest.fixture
def users(each_server: Broker) -> Broker:
    for rule in rules():
        assert each_server.client.execute_command(*rule) in (True, b"OK")
    each_server.client.execute_command("ACL", "LOG", "RESET")
    return each_server


@pytest.fixture
def work(users: Broker, tmp_path: Path) -> Iterator[Work]:
    as_worker = users.url_of("worker", PASSWORDS["worker"])
    with working(users.url, tmp_path, as_user=as_worker) as made:
        producer(users.url_of("producer", PASSWORDS["producer"]), evidence.app)
        yield made


def task(name: str) -> Any:
    return evidence.app.tasks[f"tests.apps.evidence.{name}"]


def refusals(broker: Broker) -> set[tuple[str, str]]:
    """What any user was refused since the test began: (user, command or key)."""
    told = broker.client.execute_command("ACL", "LOG")
    found = [one if isinstance(one, dict) else dict(zip(one[::2], one[1::2], strict=True)) for one in told]
    return {(_text(one, "username"), _text(one, "object")) for one in found}


def _text(of: dict[Any, Any], name: str) -> str:
    value = of.get(name) or of.get(name.encode())
    return value.decode() if isinstance(value, bytes) else str(value)


def test_each_part_works_with_its_own_user_and_is_refused_nothing(
    work: Work, users: Broker, tmp_path: Path, migrated_database_url: str
) -> None:
    """Publishing, results, canvas, delays, revocation, control, waking, records, draining: nothing in Redis' log."""
    work.start(concurrency=1)
    settings = {
        **os.environ,
        "WINDROW_SPECS": str(work.folder / "work-1.yaml"), "REDIS_URL": users.url_of("server", PASSWORDS["server"]),
        "DATABASE_URL": migrated_database_url,
        "WINDROW_STATE": str(tmp_path),
    }  # fmt: skip
    with (tmp_path / "server.log").open("ab") as log:
        server = subprocess.Popen([sys.executable, "-m", "windrow.server"], env=settings, stdout=log, stderr=log)
    try:
        queue = {"queue": "work"}
        add, total = task("add").s, task("total").s
        began = time.monotonic()
        for n in range(5):
            assert task("add").apply_async((n, 1), priority=n * 2, **queue).get(timeout=5) == n + 1
        assert time.monotonic() - began < 2, "pushes wake the worker"
        assert chain(add(1, 2).set(**queue), add(3).set(**queue))().get(timeout=10) == 6
        assert chord([add(n, 1).set(**queue) for n in range(3)])(total().set(**queue)).get(timeout=10) == 6
        assert task("again").apply_async((1, 0.2), **queue).get(timeout=10) == 1
        assert task("add").apply_async((1, 1), countdown=0.5, **queue).get(timeout=10) == 2
        task("await_progress").apply_async(**queue).get(timeout=10)
        task("add").apply_async((1, 1), countdown=60, **queue).revoke()
        running = task("work").apply_async((60,), **queue)
        wait_until(lambda: any(line[3] == running.id for line in work.lines()), 10, "it runs")
        running.revoke(terminate=True)
        assert evidence.app.control.inspect(timeout=2).ping()
        wait_until(lambda: work.client.get("windrow:leader"), 60, "the server leads")
        wait_until(lambda: work.client.xlen("windrow:events") == 0, 30, "all is on record")
        work.stop()
    finally:
        server.terminate()
        server.wait(10)
    # redis-py names itself with CLIENT SETINFO and goes on where it may not; Redis 6.2 allows no part of CLIENT by itself
    assert {refusal for refusal in refusals(users) if refusal[1] != "client"} == set()


@pytest.mark.parametrize("user", PASSWORDS)
def test_a_user_is_refused_what_its_part_does_not_do(users: Broker, user: str) -> None:
    """No other keys, no other channels, nothing that reads or changes the whole server."""
    client = redis.Redis.from_url(users.url_of(user, PASSWORDS[user]))
    refused = [
        ("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "LIST"), ("SHUTDOWN",), ("MONITOR",),
        ("GET", "somebody-elses"), ("LPUSH", "other", "x"), ("EVAL", "return redis.call('GET', 'somebody-elses')", 0),
        ("PUBLISH", "somebody-elses", "x"), ("CLIENT", "KILL", "ID", "1"),
    ]  # fmt: skip
    for command in refused:
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|can't access"):
            client.execute_command(*command)
