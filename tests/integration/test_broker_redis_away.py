"""Redis goes away and comes back: workers need no help, and nothing runs twice."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import producer, working
from windrow.local.servers import EmbeddedRedis


def test_a_restarted_redis_finds_its_workers_and_their_work(state_dir: Path, tmp_path: Path) -> None:
    """Redis is killed while tasks run, and starts again: they end once, on record, and the next tasks run."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    try:
        with working(url, tmp_path) as work:
            app = producer(url, evidence.app)
            task = app.tasks["tests.apps.evidence.work"]
            work.start(concurrency=2)
            before = [task.apply_async((2.0,), queue="work").id for _ in range(4)]
            wait_until(lambda: len(work.lines()) >= 2, 10, "two tasks run")
            assert server.process is not None
            server.process.kill()
            server.process.wait()
            wait_until(lambda: sum(line[2] == "end" for line in work.lines()) == 2, 10, "they end without Redis")
            assert server.revive()
            assert server.ready() == url
            after = task.apply_async((0.0,), queue="work").id
            wait_until(lambda: len(work.finals()) == 5, 20, "all are on record")
            assert sorted(line[3] for line in work.lines() if line[2] == "start") == sorted([*before, after])
            assert all(states == ["success"] for states in work.finals().values())
            assert work.client.keys("windrow:inflight:*") == []
            assert wait_until(lambda: app.control.inspect(timeout=1).ping(), 10, "remote control works again")
    finally:
        server.stop()


def test_a_frozen_redis_is_waited_for(state_dir: Path, tmp_path: Path) -> None:
    """Redis is stopped for longer than a call may take, then goes on: what the given-up call took is run, once."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    pid = server.process.pid if server.process else 0
    try:
        with working(url, tmp_path) as work:
            app = producer(url, evidence.app)
            task = app.tasks["tests.apps.evidence.work"]
            work.start(concurrency=2)
            ids = [task.apply_async((0.05,), queue="work").id for _ in range(100)]
            wait_until(lambda: len(work.lines()) >= 10, 10, "tasks run")
            os.kill(pid, signal.SIGSTOP)
            frozen = time.monotonic()
            wait_until(lambda: "did not answer" in work.log(), 15, "the worker gives the call up")
            assert time.monotonic() - frozen > 4
            os.kill(pid, signal.SIGCONT)
            wait_until(lambda: len(work.finals()) == 100, 30, "all are on record")
            assert sorted(line[3] for line in work.lines() if line[2] == "start") == sorted(ids)
    finally:
        os.kill(pid, signal.SIGCONT)
        server.stop()


def test_a_worker_started_without_redis_serves_once_it_is_there(state_dir: Path, tmp_path: Path) -> None:
    """Started while Redis is away, a worker waits for it, and its queue's rate limit is set then."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    try:
        assert server.process is not None
        server.process.kill()
        server.process.wait()
        with working(url, tmp_path, more="  rateLimit: 10/s") as work:
            process = work.start(concurrency=1, wait=False)
            wait_until(lambda: "Cannot connect" in work.log(), 20, "the worker has looked for Redis")
            assert server.revive()
            server.ready()
            wait_until(lambda: work.id_of(process), 20, "the worker registers")
            assert work.client.hget("windrow:queue:work", "rate") == b"10.0"
    finally:
        server.stop()
