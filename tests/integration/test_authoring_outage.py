"""What an attempt leaves behind goes out once Redis is back."""

from __future__ import annotations

import time
from pathlib import Path

from celery import chain

from tests.reference import own
from tests.reference.app import app
from tests.waiting import wait_until
from tests.workers import producer, working
from windrow.local.servers import EmbeddedRedis


def test_a_chain_goes_on_after_an_outage(state_dir: Path, tmp_path: Path) -> None:
    """Redis is away when a step ends: its result and the next step wait for it, and nothing fails."""
    mark = tmp_path / "mark"
    with (
        EmbeddedRedis(state_dir) as server,
        working(server.url, tmp_path, queue="celery", app="tests.reference.app:app") as work,
    ):
        producer(server.url, app)
        work.start()
        result = chain(own.leaves_a_mark.s(str(mark), 1.0), own.shout.s())()
        wait_until(mark.exists, 30, "the first step runs")
        server.stop()
        time.sleep(2.5)  # the step ends meanwhile: there is nobody to ask
        server.start()
        assert result.get(timeout=40)["text"] == "done"
        assert result.parent.get(timeout=10) == "done"
        work.stop()
