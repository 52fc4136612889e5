"""Redis loses its last moments, or everything: what its workers hold is put back before anybody takes anything."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from pathlib import Path

import redis

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working
from windrow.local.servers import EmbeddedRedis


def _count(work: Work, what: str) -> Counter[str]:
    return Counter(line[3] for line in work.lines() if line[2] == what)


def test_what_runs_when_redis_is_emptied_runs_once_and_ends_once(redis_url: str, tmp_path: Path) -> None:
    """FLUSHALL while tasks run: their ends count, nobody else starts them, and new tasks run as soon as all is put back."""
    with working(redis_url, tmp_path) as work:
        app = producer(redis_url, evidence.app)
        task = app.tasks["tests.apps.evidence.work"]
        work.start(concurrency=2)
        work.start(concurrency=2)
        ids = [task.apply_async((2.0,), queue=work.queue).id for _ in range(4)]
        wait_until(lambda: len(_count(work, "start")) == 4, 10, "four run")
        work.client.flushall()
        wait_until(lambda: len(work.client.keys("windrow:inflight:*")) == 2, 10, "both have put back what they hold")
        assert work.client.hlen("windrow:held") == 4
        after = task.apply_async((0.0,), queue=work.queue).id
        wait_until(lambda: _count(work, "end")[after], 15, "a new task runs")
        wait_until(lambda: len(work.finals()) == 5, 10, "all are on record")
        assert _count(work, "start") == dict.fromkeys([*ids, after], 1)
        assert all(states == ["success"] for states in work.finals().values())


def test_the_last_moments_of_redis_are_said_again(state_dir: Path, tmp_path: Path) -> None:
    """Redis dies and comes back without what it did last: no task runs twice, none is lost, each ends once."""
    server = EmbeddedRedis(state_dir)
    url = server.start()
    assert server.process is not None
    try:
        with working(url, tmp_path) as work:
            app = producer(url, evidence.app)
            task = app.tasks["tests.apps.evidence.work"]
            for _ in range(2):
                work.start(concurrency=2)
            ids = [task.apply_async((0.05,), queue=work.queue).id for _ in range(200)]
            wait_until(lambda: len(_count(work, "end")) >= 40, 20, "some have ended")
            data = Path(redis.Redis.from_url(url).config_get("dir")["dir"])
            kept = tmp_path / "kept"
            shutil.copytree(data, kept)
            copied = len(_count(work, "end"))
            wait_until(lambda: len(_count(work, "end")) >= copied + 20, 10, "more have ended")
            server.process.kill()
            server.process.wait()
            shutil.rmtree(data)
            shutil.copytree(kept, data)
            died = time.monotonic()
            assert server.revive()
            server.ready()
            wait_until(lambda: len(_count(work, "end")) == 200, 30, "all have ended")
            print(f"recovered after {time.monotonic() - died:.1f} s")
            wait_until(lambda: not work.client.keys("windrow:inflight:*"), 10, "all is told")
            assert _count(work, "start") == dict.fromkeys(ids, 1)
            accepted = {event["id"] for event in work.events() if event["k"] == "accepted"}
            assert {execution: work.finals().get(execution) for execution in accepted} == {key: ["success"] for key in accepted}
    finally:
        server.stop()
