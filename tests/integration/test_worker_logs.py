"""What a worker writes to standard error, as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import ROOT, Work, producer, working

JSON = {"WINDROW_LOG_FORMAT": "json"}


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_every_line_of_a_worker_is_json_and_says_what_ran(redis_url: str, tmp_path: Path, pool: str) -> None:
    """Windrow's lines, Celery's, a task's own by its logger or print, and its traceback; from the first to the last."""
    tell = producer(redis_url, evidence.app).tasks["tests.apps.evidence.tell"]
    with working(redis_url, tmp_path, more=f"  pool: {pool}") as work:
        work.start(1, env=JSON)
        sent = tell.apply_async(("a word",), queue="work")
        execution = _settled(work)
        work.stop()
        lines = [json.loads(line) for line in work.log().splitlines()]
    assert all({"event", "level", "logger", "timestamp"} <= line.keys() for line in lines)
    told = {line["event"]: line for line in lines}
    for event in ("told a word", "printed a word"):
        assert (told[event]["task"], told[event]["task_id"]) == (tell.name, sent.id)
        assert told[event]["execution_id"] == execution
    failures = [line["exception"] for line in lines if "exception" in line]
    assert len(failures) == 1
    assert failures[0].endswith("KeyError: 'a word'")
    assert any(line["event"].endswith("ready.") for line in lines)
    assert "task" not in lines[0]


def _settled(work: Work) -> str:
    return str(wait_until(lambda: next(iter(work.finals()), None), 30, "the task has ended"))


def test_an_app_that_sets_up_its_own_logging_keeps_it(redis_url: str, tmp_path: Path) -> None:
    """Celery's own rule for its signal `setup_logging`."""
    (tmp_path / "ownlogs.py").write_text(
        "import logging\nfrom celery import signals\nfrom tests.apps.evidence import app\n\n"
        "@signals.setup_logging.connect\ndef mine(**kwargs):\n"
        "    logging.basicConfig(format='mine %(message)s', level='INFO', force=True)\n"
    )
    with working(redis_url, tmp_path, app="ownlogs:app") as work:
        work.start(1, env={**JSON, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])})
        work.stop()
        lines = [line for line in work.log().splitlines() if line.endswith("ready.")]
    assert lines
    assert all(line.startswith("mine ") for line in lines)
