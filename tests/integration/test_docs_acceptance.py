"""docs/acceptance.md: its code, run as it is written, keeps what the page promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery, _state
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import sql
from tests.integration.acceptance import dispatch, messages, rows, within
from windrow.authoring import database
from windrow.authoring.install import install
from windrow.authoring.loop import run_async

PAGE = (Path(__file__).resolve().parents[2] / "docs/acceptance.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SHELL = [text for language, text in BLOCKS if language == "sh"]


@pytest.fixture
def page(redis_url: str, migrated_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that the page's blocks define, on this test's Redis and database."""

    async def forget() -> None:
        made, database._shared = database._shared, None
        if made is not None:
            await super(database.SharedEngine, made).dispose()

    run_async(forget())
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    app = install(Celery("page"), redis_url)
    before = _state.default_app
    app.set_default()
    sql(migrated_database_url, "CREATE TABLE orders (id int PRIMARY KEY)")
    names: dict[str, Any] = {"__name__": "page"}
    for text in PYTHON:
        exec(compile(text, "docs/acceptance.md", "exec"), names)
    app.finalize()
    yield names
    _state.set_default_app(before)
    run_async(forget())


def test_an_order_and_its_receipt_are_one(
    page: dict[str, Any], redis_url: str, redis_client: redis.Redis, migrated_database_url: str
) -> None:
    """Both or none: the second order of the same number is refused, and so is its receipt."""
    made = run_async(page["place_order"](7))
    with pytest.raises(Exception, match="duplicate key"):
        run_async(page["place_order"](7))

    async def use(engine: AsyncEngine) -> None:
        assert await rows(engine, "SELECT id FROM orders") == [(7,)]
        assert await dispatch(redis_url, engine) == 1

    within(migrated_database_url, use)
    assert [message["headers"]["id"] for message in messages(redis_client, "default")] == [made.id]


def test_a_key_makes_one_of_two(page: dict[str, Any], redis_url: str, migrated_database_url: str) -> None:
    """The second call gives the first one's ids."""
    first = run_async(page["place_order_once"](8))
    second = run_async(page["place_order_once"](8))
    assert (second.id, second.execution_id) == (first.id, first.execution_id)
    assert (first.repeated, second.repeated) == (False, True)
    assert within(migrated_database_url, lambda engine: dispatch(redis_url, engine)) == 1


def test_durable_calls_are_in_the_database(page: dict[str, Any], migrated_database_url: str) -> None:
    """By option and by the task's own word."""
    ids = {page["remind"](9).id, page["charge"].delay(9).id}

    async def use(engine: AsyncEngine) -> Any:
        return {task_id for (task_id,) in await rows(engine, "SELECT task_id FROM windrow.outbox")}

    assert within(migrated_database_url, use) == ids


def test_the_command_makes_the_outbox(database_url: str) -> None:
    """The page's own line, on another database."""
    (line,) = SHELL
    environment = {
        **os.environ,
        "SHOP_DATABASE_URL": database_url,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(["bash", "-euc", line], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "WINDROW_OUTBOXES" in done.stdout
    password = database_url.split(":")[2].split("@")[0]
    assert password not in done.stdout + done.stderr

    async def use(engine: AsyncEngine) -> Any:
        return await rows(engine, "SELECT count(*) FROM windrow.outbox")

    assert within(database_url, use) == [(0,)]


@pytest.mark.parametrize("url", ["sqlite:///x", "nonsense://user:secret@host/x", "postgresql://user:secret@127.0.0.1:1/x"])
def test_the_command_says_what_is_wrong_with_a_url_and_does_not_repeat_it(url: str) -> None:
    """Exit code 2, one sentence, no password."""
    command = [sys.executable, "-m", "windrow.cli", "migrate", "--outbox", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "secret" not in done.stderr
