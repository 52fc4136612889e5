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
    (attempt,) = {event["attempt"] for event in work.events() if event["k"] == "ended"}
    ids = {
        "execution_id": execution, "attempt": attempt, "queue": "work", "task": tell.name, "task_id": sent.id,
        "trace_id": execution.replace("-", ""),
    }  # fmt: skip
    for event in ("told a word", "structured", "printed a word"):
        assert {name: told[event].get(name) for name in ids} == ids
    assert told["structured"]["text"] == "a word"
    failures = [line["exception"] for line in lines if "exception" in line]
    assert len(failures) == 1
    assert failures[0].endswith("KeyError: 'a word'")
    assert any(line["event"].endswith("ready.") for line in lines)
    assert "task" not in lines[0]


@pytest.mark.parametrize("pool", ["prefork", "threads", "asyncio"])
def test_on_a_terminal_each_line_of_a_task_says_which_attempt_it_is_of(redis_url: str, tmp_path: Path, pool: str) -> None:
    """Readably: the execution's id whole, the others as much of them as tells them apart; lines of the worker have none."""
    tell = producer(redis_url, evidence.app).tasks["tests.apps.evidence.tell"]
    with working(redis_url, tmp_path, more=f"  pool: {pool}") as work:
        work.start(1)
        sent = tell.apply_async(("a word",), queue="work")
        execution = _settled(work)
        work.stop()
        lines = work.log().splitlines()
        (attempt,) = {event["attempt"] for event in work.events() if event["k"] == "ended"}
    ids = (
        f"(work {tell.name} execution={execution} attempt=…{attempt[-8:]} task_id={sent.id[:8]}… "
        f"trace=…{execution.replace('-', '')[-8:]})"
    )
    said = [line for line in lines if line.endswith(ids)]
    told = [line.partition(" ")[2].removesuffix(f" {ids}") for line in said]
    assert told[:3] == [
        "[info] told a word [tests.tell]",
        "[info] structured text='a word' [tests.structured]",
        "[warning] printed a word [celery.redirected]",
    ]
    assert lines[-1] != said[-1]
    (ready,) = [line for line in lines if "ready." in line]
    assert "execution=" not in ready


def test_an_app_with_a_format_of_its_own_keeps_it_on_a_terminal(redis_url: str, tmp_path: Path) -> None:
    """Celery's settings `worker_log_format` and `worker_task_log_format`; what a task logs is kept all the same."""
    (tmp_path / "ownformat.py").write_text(
        "from tests.apps.evidence import app\n\napp.conf.worker_task_log_format = 'mine %(task_id)s %(message)s'\n"
    )
    tell = producer(redis_url, evidence.app).tasks["tests.apps.evidence.tell"]
    with working(redis_url, tmp_path, app="ownformat:app") as work:
        work.start(1, env={"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])})
        sent = tell.apply_async(("a word",), queue="work")
        _settled(work)
        (log,) = {event["log"] for event in work.events() if event["k"] == "ended"}
        assert f"mine {sent.id} told a word" in work.log().splitlines()
    assert "told a word" in log


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
