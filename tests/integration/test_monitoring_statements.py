"""The dashboards' statements on the real PostgreSQL, by a role with the rights that docs/dashboards.md gives it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from deploy.monitoring.dashboards import Query, View, queries
from tests.integration.records_events import accepted, ended, push, started
from tests.integration.test_records_recorder import record, run
from tests.workers import ROOT
from windrow.broker.events import new_id

PAGE = (ROOT / "docs/dashboards.md").read_text(encoding="utf-8")
TASK = "shop.send"
ATTEMPTS = "What happened in the attempts?"
Rows = list[dict[str, Any]]


def statements(search: str = "", queues: Sequence[str] = ("default", "mail"), ago: timedelta = timedelta()) -> list[Query]:
    """Every statement, as one who looks at an hour sends it."""
    end = datetime.now(UTC) + timedelta(seconds=1) - ago
    view = View({"installation": ".*", "task": TASK, "search": search, "queue": queues}, end - timedelta(hours=1), end)
    asked = queries(view, "windrow-task", "windrow-platform", "windrow-executions")
    return [query for query in asked if query.datasource == "postgres"]


def answers(url: str, asked: Sequence[Query]) -> dict[str, Rows]:
    """What each panel shows, asked by the page's role alone."""

    async def ask() -> dict[str, Rows]:
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction(readonly=True):
                await connection.execute("SET LOCAL ROLE grafana")
                return {query.panel: [dict(row) for row in await connection.fetch(query.expr)] for query in asked}
        finally:
            await connection.close()

    return asyncio.run(ask())


@pytest.fixture
def seen(redis_client: Any, migrated_database_url: str) -> dict[str, str]:
    """A database of one success, one failure after a retry, one that runs; by what became of it, each one's id."""
    ids = {name: new_id() for name in ("done", "failed", "running")}
    call = {"queue": "mail", "task": TASK}
    push(
        redis_client,
        [
            accepted(ids["done"], external="order-7", **call),
            ended(ids["done"], new_id(), "success", "success", result="1", peak=2**20, log="sent\n", **call),
            accepted(ids["failed"], **call),
            ended(ids["failed"], new_id(), None, "retried", error="OSError", message="it's away", **call),
            accepted(ids["failed"], retries=1, tag="second", args="('Zoë',)", **call),
            ended(ids["failed"], new_id(), "failed", "failed", error="ValueError", message="100% wrong", retries=1, **call),
            accepted(ids["running"]),
            started(ids["running"], new_id()),
        ],
    )
    run(migrated_database_url, lambda engine: record(engine, redis_client))

    async def allow() -> None:
        (role,) = re.findall(r"<!-- run: role -->\n```sql\n(.*?)```", PAGE, re.DOTALL)
        connection = await asyncpg.connect(migrated_database_url)
        # Roles belong to the whole server, which other tests share.
        await connection.execute("DO $$ BEGIN DROP ROLE grafana; EXCEPTION WHEN undefined_object THEN NULL; END $$")
        await connection.execute(role)
        await connection.close()

    async def forbid() -> None:
        connection = await asyncpg.connect(migrated_database_url)
        await connection.execute("DROP OWNED BY grafana; DROP ROLE grafana")
        await connection.close()

    asyncio.run(allow())
    yield ids
    asyncio.run(forbid())


def test_every_statement_works_and_shows_something(seen: dict[str, str], migrated_database_url: str) -> None:
    """With the rights of the page, on a platform that has run something, no panel is empty."""
    shown = answers(migrated_database_url, statements(search=seen["failed"]))
    assert len(shown) > 15
    assert [panel for panel, found in shown.items() if not found] == []


def test_what_failed_is_shown_with_its_error(seen: dict[str, str], migrated_database_url: str) -> None:
    shown = answers(migrated_database_url, statements(search=seen["failed"]))
    (failure,) = shown["What failed most recently?"]
    assert (str(failure["id"]), failure["state"], failure["error"]) == (seen["failed"], "failed", "ValueError")
    assert [one["outcome"] for one in shown[ATTEMPTS]] == ["failed", "retried"]
    assert {one["error"]: one["attempts"] for one in shown["Which errors came most often?"]} == {"OSError": 1, "ValueError": 1}
    (running,) = shown["What is still running, and for how long?"]
    assert str(running["id"]) == seen["running"]
    assert {one["state"] for one in shown["Which of its executions ran longest?"]} == {"success", "failed"}


@pytest.mark.parametrize(
    ("search", "found"),
    [("", {"done", "failed", "running"}), ("ORDER-7", {"done"}), ("zoë", {"failed"}), ("100%", {"failed"}), ("it's", set()),
     ("shop.", {"done", "failed"}), ("'; DROP TABLE windrow.executions; --", set()), ("\\", set()), ("_", set())],
)  # fmt: skip
def test_a_search_finds_the_text_as_it_is_typed(
    seen: dict[str, str], migrated_database_url: str, search: str, found: set[str]
) -> None:
    """In ids, names, arguments and errors, in any case; nothing in it has a meaning of its own."""
    asked = [query for query in statements(search) if query.panel == "Which executions match the search?"]
    (shown,) = answers(migrated_database_url, asked).values()
    names = {execution: name for name, execution in seen.items()}
    assert {names[str(one["id"])] for one in shown} == found


@pytest.mark.parametrize(
    ("search", "outcomes"),
    [("", ["failed", "retried", "success"]), ("SENT", ["success"]), ("it's", ["retried"]), ("not an id", []), ("zoë", [])],
)
def test_attempts_are_found_by_their_errors_and_logs(
    seen: dict[str, str], migrated_database_url: str, search: str, outcomes: list[str]
) -> None:
    """A text that is no id is looked for in what attempts left behind; one that nearly is, too."""
    shown = answers(migrated_database_url, statements(search))[ATTEMPTS]
    assert sorted(one["outcome"] for one in shown if one["outcome"]) == outcomes
    assert answers(migrated_database_url, statements(seen["done"] + "0"))[ATTEMPTS] == []


def test_an_execution_shows_its_attempts_whenever_it_was(seen: dict[str, str], migrated_database_url: str) -> None:
    """A link to an execution needs neither its time nor its queue."""
    shown = answers(migrated_database_url, statements(seen["done"].upper(), queues=[], ago=timedelta(hours=2)))
    assert [one["log"] for one in shown[ATTEMPTS]] == ["sent\n"]


def test_only_the_time_and_the_queues_that_were_chosen(seen: dict[str, str], migrated_database_url: str) -> None:
    """Neither another queue's executions nor those accepted at another time; a choice of no queue is no error."""
    panel = "Which executions match the search?"
    assert len(answers(migrated_database_url, statements(queues=["default"]))[panel]) == 1
    assert answers(migrated_database_url, statements(queues=[]))[panel] == []
    assert answers(migrated_database_url, statements(ago=timedelta(hours=2)))[panel] == []


def test_other_days_are_not_read(seen: dict[str, str], migrated_database_url: str) -> None:
    """A statement of an hour looks into the partitions of that hour, and no others."""
    (asked,) = [query for query in statements() if query.panel == "What ran longest?"]
    plan = answers(migrated_database_url, [asked._replace(expr="EXPLAIN " + asked.expr)])[asked.panel]
    read = set(re.findall(r" on (?:windrow\.)?(executions_\w+)", "\n".join(row["QUERY PLAN"] for row in plan)))
    assert 1 <= len(read) <= 2, plan
