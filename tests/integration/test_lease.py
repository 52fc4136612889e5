"""The lease: nothing is ended while Redis is away from all, and nothing runs on when its worker is dead for the others."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.apps import evidence
from tests.servers import leading
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.broker.lease import SECONDS, ask_to_wait
from windrow.local.servers import EmbeddedRedis

POOLS = ("prefork", "asyncio", "threads")


def _starts(work: Work) -> int:
    return sum(line[2] == "start" for line in work.lines())


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("pool", ["prefork", "asyncio"])
def test_a_frozen_redis_ends_nothing(state_dir: Path, tmp_path: Path, pool: str) -> None:
    """Redis is frozen for longer than a lease: the leading server says "wait", what runs goes on and ends once."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    assert server.process is not None
    try:
        with working(url, tmp_path, more=f"  pool: {pool}") as work, leading(url, tmp_path / "server"):
            app = producer(url, evidence.app)
            worker = work.start(concurrency=2)
            app.tasks["tests.apps.evidence.work"].apply_async((SECONDS + 5,), queue=work.queue)
            wait_until(lambda: _starts(work) == 1, 10, "the task runs")
            server.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: any(line[2] == "end" for line in work.lines()), SECONDS + 10, "it ends meanwhile")
            server.process.send_signal(signal.SIGCONT)
            wait_until(lambda: work.finals(), 15, "its end is on the stream")
            assert worker.poll() is None
            assert [*work.finals().values()] == [["success"]]
            assert _starts(work) == 1
            assert "the leading server waits too" in work.log()
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.stop()


def test_a_worker_without_redis_and_without_a_word_ends_before_others_begin(state_dir: Path, tmp_path: Path) -> None:
    """With neither Redis nor the server, a worker ends its tasks and itself while the leader still counts its silence."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    assert server.process is not None
    try:
        with working(url, tmp_path) as work, leading(url, tmp_path / "server") as leader:
            app = producer(url, evidence.app)
            worker = work.start(concurrency=1)
            app.tasks["tests.apps.evidence.work"].apply_async((60,), queue=work.queue)
            wait_until(lambda: _starts(work) == 1, 10, "the task runs")
            children = work.children(worker)
            leader.send_signal(signal.SIGSTOP)
            server.process.send_signal(signal.SIGSTOP)
            alone = time.monotonic()
            wait_until(lambda: all(map(_has_ended, children)), SECONDS + 2, "its children are ended", pause=0.01)
            assert SECONDS - 3 < time.monotonic() - alone < SECONDS
            assert worker.wait(2) in (70, -signal.SIGKILL)
    finally:
        server.process.send_signal(signal.SIGCONT)
        server.stop()


@pytest.mark.parametrize("pool", POOLS)
def test_a_main_process_that_stands_still_does_not_let_its_tasks_run_on(redis_url: str, tmp_path: Path, pool: str) -> None:
    """SIGSTOP of the main process alone: its tasks are ended before the next attempt starts, which ends once."""
    with working(redis_url, tmp_path, more=f"  pool: {pool}") as work, leading(redis_url, tmp_path / "server"):
        app = producer(redis_url, evidence.app)
        frozen = work.start(concurrency=1)
        children = work.children(frozen)
        app.tasks["tests.apps.evidence.work"].apply_async((SECONDS + 4,), queue=work.queue)
        wait_until(lambda: work.client.keys("windrow:started:*"), 10, "the start is noted")
        work.start(concurrency=1)
        frozen.send_signal(signal.SIGSTOP)
        wait_until(lambda: _starts(work) == 2, SECONDS + 5, "the next attempt starts", pause=0.005)
        assert all(map(_has_ended, children))
        wait_until(lambda: work.finals(), SECONDS + 10, "it ends")
        assert [*work.finals().values()] == [["success"]]
        assert sum(line[2] == "end" for line in work.lines()) == 1


def test_a_worker_frozen_past_its_lease_ends_as_it_wakes(redis_url: str, tmp_path: Path) -> None:
    """The kernel stops all of a worker's processes past its lease: they end within a second of waking, and tell nothing."""
    with working(redis_url, tmp_path) as work, leading(redis_url, tmp_path / "server"):
        app = producer(redis_url, evidence.app)
        frozen = work.start(concurrency=1)
        app.tasks["tests.apps.evidence.work"].apply_async((SECONDS + 4,), queue=work.queue)
        wait_until(lambda: work.client.keys("windrow:started:*"), 10, "the start is noted")
        everything = [frozen.pid, *(int(pid) for pid in _family(frozen.pid))]
        for pid in everything:
            os.kill(pid, signal.SIGSTOP)
        work.start(concurrency=1)
        wait_until(lambda: _starts(work) == 2, SECONDS + 5, "the next attempt starts")
        for pid in reversed(everything):
            os.kill(pid, signal.SIGCONT)
        woken = time.monotonic()
        wait_until(lambda: all(map(_has_ended, everything[1:])), 5, "they end", pause=0.005)
        assert time.monotonic() - woken < 1
        wait_until(lambda: work.finals(), SECONDS + 10, "the next attempt ends")
        assert [*work.finals().values()] == [["success"]]
        assert sum(line[2] == "end" for line in work.lines()) == 1


def _family(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_only_who_reads_redis_may_ask_for_time(redis_url: str, tmp_path: Path) -> None:
    """The leader answers a worker that shows its secret, with "no" while Redis answers; it refuses everybody else."""
    with working(redis_url, tmp_path) as work, leading(redis_url, tmp_path / "server"):
        said = (work.client.get("windrow:server") or b"").decode()
        assert ask_to_wait(said, "w") is False
        address, _, _ = said.partition(" ")
        for secret, body, status in (("wrong", b'{"worker": "w"}', 403), (said.split()[1], b"[]", 400)):
            request = urllib.request.Request(
                f"http://{address}/lease", data=body, headers={"Authorization": f"Bearer {secret}"}, method="POST"
            )
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=5)
            assert refused.value.code == status
