"""Looking up and deciding from the command line, on a real Redis and database, without a platform's processes."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from celery import Celery

from windrow.authoring.install import install
from windrow.broker import events
from windrow.broker.client import Client, connect
from windrow.broker.observe import observe
from windrow.cli.group import run
from windrow.records.engine import make_engine
from windrow.records.recorder import Recorder

Windrow = Callable[..., Any]


@pytest.fixture
def client(redis_url: str) -> Client:
    return connect(redis_url)


@pytest.fixture
def app(redis_url: str) -> Any:
    return install(Celery("shop"), redis_url)


@pytest.fixture
def windrow(
    redis_url: str,
    migrated_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Any,
) -> Windrow:
    """Runs a command with --json and gives what it said; a number is its exit code when it refused."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    monkeypatch.chdir(tmp_path)
    capfd.readouterr()

    def call(line: str) -> Any:
        code = run([*line.split(), "--json"])
        told = capfd.readouterr()
        return json.loads(told.out) if code == 0 else told.err.strip()

    return call


@pytest.fixture
def record(client: Client, migrated_database_url: str) -> Callable[..., None]:
    """Puts the event stream, and further events, on record."""

    def put(*further: dict[str, Any]) -> None:
        async def apply() -> None:
            engine = make_engine(migrated_database_url)
            try:
                await Recorder(engine).apply(
                    [(entry.decode(), events.decode(fields)) for entry, fields in client.xrange(client.keys_of.events)]
                )
            finally:
                await engine.dispose()

        if further:
            client.xadd(client.keys_of.events, events.fields(*further))
        asyncio.run(apply())

    return put


def ended(execution: str, state: str, **more: Any) -> dict[str, Any]:
    attempt = {"attempt": events.new_id(), "outcome": state, "started": time.time() - 2, "run": 1.5, "wait": 0.5, "worker": "w"}
    return {
        "k": "ended",
        "id": execution,
        "t": time.time(),
        "state": state,
        "queue": "orders",
        "task": "pay",
        **attempt,
        **more,
    }


def test_executions_are_listed_and_shown(app: Any, windrow: Windrow, record: Callable[..., None]) -> None:
    """The newest first, by queue, task and state; one of them whole, found by its id or its task id."""
    first = app.send_task("pay", (1,), queue="orders").id
    app.send_task("ship", (2,), queue="other")
    record()
    rows = windrow("executions")
    assert [(row["task"], row["state"]) for row in rows] == [("ship", "ready"), ("pay", "ready")]
    record(ended(rows[1]["id"], "failed", error="ValueError", message="no money", traceback="Traceback: …"))
    assert [row["task"] for row in windrow("executions --queue other")] == ["ship"]
    assert [row["task"] for row in windrow("executions --only failed")] == ["pay"]
    assert [row["task"] for row in windrow("executions --limit 1 --task pay")] == ["pay"]
    shown = windrow(f"show {first}")
    assert (shown["id"], shown["state"], shown["args"]) == (rows[1]["id"], "failed", "(1,)")
    assert [(made["outcome"], made["error"], made["message"]) for made in shown["attempts_made"]] == [
        ("failed", "ValueError", "no money")
    ]
    assert "state must be one of ready" in windrow("executions --only wrong")
    assert "that is on record, not 'nobody'" in windrow("show nobody")


def test_what_an_execution_logged_is_read_attempt_by_attempt(
    app: Any, windrow: Windrow, record: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    """Each under a line of its own, in their order; the execution is found by any of its names, and shown with no log in it."""
    task_id = app.send_task("pay", (1,), queue="orders", headers={"windrow_external": "order 7"}).id
    record()
    (row,) = windrow("executions")
    assert windrow(f"logs --execution {row['id']}") == []
    first, second, third = sorted(events.new_id() for _ in range(3))
    record(
        ended(row["id"], "ready", outcome="killed", attempt=first, log="one\ntwo\n"),
        ended(row["id"], "ready", outcome="killed", attempt=second),
        {**ended(row["id"], "", attempt=third), "k": "started"},
    )
    capfd.readouterr()
    assert run(["logs", "--execution", "order 7"]) == 0
    header, *lines = capfd.readouterr().out.splitlines()
    assert header.startswith(f"attempt 1 {first}: killed, started ")
    assert lines[:2] == ["  one", "  two"]
    assert lines[2].startswith(f"attempt 2 {second}: killed")
    assert lines[2].endswith("; no log is kept")
    assert lines[3].startswith(f"attempt 3 {third}: running")
    for name in (row["id"], task_id):
        made = windrow(f"logs --execution {name}")
        assert [(one["id"], one["log"]) for one in made] == [(first, "one\ntwo\n"), (second, None), (third, None)]
    shown = windrow(f"show {task_id}")
    assert [one["log_bytes"] for one in shown["attempts_made"]] == [8, None, None]
    assert "one" not in json.dumps(shown["attempts_made"])
    assert shown["trace_id"] == row["id"].replace("-", "")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("logs --execution nobody", "must be an execution's id, execution_id argument or task id that is on record"),
        ("logs", "one of QUEUE and --execution ID must be given"),
        ("logs orders --execution x", "one of QUEUE and --execution ID must be given"),
        ("logs --execution x --follow", "--follow must be left out with --execution"),
    ],
)
def test_a_log_that_there_is_not_is_one_sentence(windrow: Windrow, line: str, sentence: str) -> None:
    assert sentence in windrow(line)


def test_an_execution_without_a_log_says_why_that_may_be(
    app: Any, windrow: Windrow, record: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    """In one sentence; as JSON it is an attempt whose log is null."""
    app.send_task("pay", (1,), queue="orders")
    record()
    (row,) = windrow("executions")
    record(ended(row["id"], "success"))
    assert [one["log"] for one in windrow(f"logs --execution {row['id']}")] == [None]
    assert run(["logs", "--execution", row["id"]]) != 0
    told = capfd.readouterr().err
    assert f"execution {row['id']} must have logged something that is kept" in told
    assert "keep_log" in told


def test_people_read_the_same(
    app: Any, windrow: Windrow, record: Callable[..., None], capfd: pytest.CaptureFixture[str]
) -> None:
    """Without --json: a table, and an execution line by line with its traceback."""
    app.send_task("pay", (1,), queue="orders")
    record()
    execution = windrow("executions")[0]["id"]
    record(ended(execution, "failed", error="ValueError", message="no money", traceback="Traceback:\n  line one"))
    assert run(["executions"]) == 0
    table = capfd.readouterr().out.splitlines()
    assert table[0].split() == ["ID", "ACCEPTED", "QUEUE", "TASK", "STATE", "WAIT", "RUN", "RETRIES", "ERROR"]
    assert table[1].split()[0] == execution
    assert "no money" in table[1]
    assert run(["show", execution]) == 0
    shown = capfd.readouterr().out
    assert "attempt 1: failed" in shown
    assert "      line one" in shown


def test_cancel_takes_a_delayed_one_out_and_puts_that_on_record(
    app: Any, client: Client, windrow: Windrow, record: Callable[..., None]
) -> None:
    """A delayed execution is gone at once, and its final state is cancelled."""
    task = app.send_task("pay", (1,), queue="orders", countdown=600).id
    record()
    assert windrow(f"cancel {task}")["done"] == "taken out"
    assert observe(client, ["orders"])["orders"].delayed == 0
    record()
    shown = windrow(f"show {task}")
    assert (shown["state"], shown["reason"]) == ("cancelled", "cancelled by hand")
    assert "must not have ended to be cancelled, and is cancelled" in windrow(f"cancel {task}")


def test_cancel_revokes_a_ready_one(app: Any, client: Client, windrow: Windrow, record: Callable[..., None]) -> None:
    """A ready execution stays where it is, revoked: whoever takes it ends it unstarted."""
    task = app.send_task("pay", (1,), queue="orders").id
    record()
    assert windrow(f"cancel {task}")["was"] == "ready"
    assert client.zscore(client.keys_of.revoked, task) is not None


def test_retry_makes_a_new_execution_that_names_the_old(
    app: Any, client: Client, windrow: Windrow, record: Callable[..., None], migrated_database_url: str
) -> None:
    """Same task, queue and arguments, another id; only once the old one has ended, and only when its message is kept."""
    task = app.send_task("pay", (1,), queue="orders").id
    done = app.send_task("pay", (2,), queue="orders").id
    record()
    record(ended(windrow(f"show {done}")["id"], "success"))
    assert "must be kept to run it again, and it is not" in windrow(f"retry {done}")
    old = windrow(f"show {task}")["id"]
    assert "must have ended before it can be run again, and is ready" in windrow(f"retry {task}")
    record(ended(old, "failed"))
    new = windrow(f"retry {task}")
    assert new["id"] != old
    record()
    shown = windrow(f"show {new['id']}")
    assert (shown["state"], shown["redo_of"], shown["args"], shown["task"]) == ("ready", old, "(1,)", "pay")
    assert shown["trace_id"] == old.replace("-", ""), "it stays in the old one's trace"
    assert observe(client, ["orders"])["orders"].ready == 3


def test_a_queue_is_paused_scaled_and_released(client: Client, windrow: Windrow) -> None:
    """A person's word stays until release, which takes back both."""
    assert windrow("pause orders") == {"queue": "orders", "paused": True}
    assert windrow("scale orders 4") == {"queue": "orders", "pinned": 4}
    reading = observe(client, ["orders"])["orders"]
    assert (reading.paused, reading.pinned) == (True, 4)
    windrow("release orders")
    reading = observe(client, ["orders"])["orders"]
    assert (reading.paused, reading.pinned) == (False, None)


def test_purge_asks_first_and_cancels_on_record(
    app: Any, client: Client, windrow: Windrow, record: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is dropped without a yes; what is dropped is on record as cancelled."""
    app.send_task("pay", (1,), queue="orders")
    app.send_task("pay", (2,), queue="orders", countdown=600)
    for answer in ("n\n", ""):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert "nothing is cancelled" in windrow("purge orders")
    assert observe(client, ["orders"])["orders"].ready == 1
    assert windrow("purge orders --yes") == {"queue": "orders", "cancelled": 2}
    record()
    assert [row["state"] for row in windrow("executions")] == ["cancelled", "cancelled"]
    reading = observe(client, ["orders"])["orders"]
    assert (reading.ready, reading.delayed) == (0, 0)


def test_status_shows_every_queue_that_is_known(app: Any, windrow: Windrow, capfd: pytest.CaptureFixture[str]) -> None:
    """Without a platform on a state folder the queues that Redis knows stand for themselves."""
    app.send_task("pay", (1,), queue="orders")
    told = windrow("status")
    assert [(queue["queue"], queue["reading"]["ready"]) for queue in told["queues"]] == [("orders", 1)]
    assert run(["status"]) == 0
    shown = capfd.readouterr().out
    assert "orders" in shown
    assert "\x1b" not in shown


def test_servers_that_do_not_answer_are_one_sentence(windrow: Windrow, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Redis or a PostgreSQL that is away is said, with what it said."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("DATABASE_URL", "postgresql://windrow@127.0.0.1:1/x")
    assert windrow("status").startswith("Redis must answer, and it says: ")
    assert windrow("executions").startswith("the records must be readable, and PostgreSQL says: ")
    assert windrow("migrate").startswith("the tables must be migrated, and PostgreSQL says: ")


def test_migrate_may_be_run_again(windrow: Windrow, client: redis.Redis) -> None:
    """On a database of this release it changes nothing."""
    assert windrow("migrate") == {"migrated": True}
