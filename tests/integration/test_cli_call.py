"""`windrow call`: a task from a shell, on a real Redis and database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from windrow.broker import events
from windrow.broker.client import connect
from windrow.cli.group import run

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    redis_url: str,
    migrated_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> Call:
    """Runs `windrow call …`: exit code, output, complaint."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    monkeypatch.chdir(tmp_path)

    def made(*words: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(["call", *words])
        told = capfd.readouterr()
        return code, told.out.strip(), told.err.strip()

    return made


def test_a_known_task_goes_to_its_own_queue(call: Call, redis_url: str) -> None:
    """A task of the app needs no queue, and each call prints its task id."""
    code, out, _ = call("windrow_tasks.reports.report", "--count", "3")
    client = connect(redis_url)
    accepted = [event for _, fields in client.xrange(client.keys_of.events) for event in events.decode(fields)]
    assert code == 0
    assert [event["task_id"] for event in accepted if event["task_id"]] == out.split()
    assert {event["queue"] for event in accepted} == {"long_running"}


def test_an_unknown_task_needs_a_queue(call: Call, redis_url: str) -> None:
    """Nothing says where a task goes that the app doesn't know; with --queue it is sent all the same."""
    code, out, complaint = call("shop.pay")
    assert (code, out) == (2, "")
    assert complaint.endswith(
        "--queue must say where a task goes that the app windrow.authoring.app:app doesn't know, "
        "and 'shop.pay' is none of its tasks"
    )
    code, out, _ = call("shop.pay", "--queue", "mail", "--args", '["x"]', "--kwargs", '{"n": 1}', "--json")
    client = connect(redis_url)
    assert code == 0
    assert len(json.loads(out)) == 1
    assert client.llen("mail") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--args", "{}"), "--args must be a JSON list, not '{}'"),
        (("--args", "[1"), "--args must be a JSON list, not '[1'"),
        (("--kwargs", "[]"), "--kwargs must be a JSON object, not '[]'"),
        (("--wait", "soon"), "--wait must be a duration such as 90s, 10m, 1h10m or 500ms, not 'soon'"),
        (
            ("--app", "nowhere:app"),
            "--app must be a Celery app that can be imported, not 'nowhere:app' (No module named 'nowhere')",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_sent(
    call: Call, redis_url: str, words: tuple[str, ...], sentence: str
) -> None:
    """Each mistake gets what must hold and what was given; nothing is accepted."""
    code, out, complaint = call("windrow_tasks.reports.report", *words)
    client = connect(redis_url)
    assert (code, out) == (2, "")
    assert complaint.splitlines()[-1].endswith(sentence)
    assert client.xlen(client.keys_of.events) == 0


def test_waiting_ends_with_1_when_there_is_no_success(call: Call) -> None:
    """--wait tells a script by the exit code: without a server nothing comes on record."""
    code, out, _ = call("windrow_tasks.reports.report", "--wait", "300ms")
    assert code == 1
    assert out.endswith("not on record")
