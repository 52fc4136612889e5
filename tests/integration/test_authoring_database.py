"""`DatabaseSessionLocal` knows its loop; `SchedulerRepository` writes reports."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.pool import NullPool

from tests.waiting import wait_until
from windrow import DatabaseSessionLocal, SchedulerRepository, run_async
from windrow.authoring import database, repository
from windrow.authoring.attempt import Attempt
from windrow.authoring.database import get_engine
from windrow.broker.events import new_id
from windrow.records.states import STATUS_IDS
from windrow.records.tables import NO_ATTEMPT


@pytest.fixture
def url(migrated_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """DATABASE_URL for the test, and none of its connections left after it."""
    monkeypatch.setenv("DATABASE_URL", migrated_database_url)
    monkeypatch.setattr(database, "_shared", None)
    yield migrated_database_url
    run_async(_close())


async def _close() -> None:
    if database._shared is not None:
        await super(database.SharedEngine, database._shared).dispose()


async def _backend() -> int:
    async with DatabaseSessionLocal() as session:
        return int((await session.execute(text("SELECT pg_backend_pid()"))).scalar_one())


async def _driver_connection() -> Any:
    async with DatabaseSessionLocal() as session:
        return (await (await session.connection()).get_raw_connection()).driver_connection


def test_windrows_loop_keeps_its_connection(url: str) -> None:
    """Task after task uses the same connection, disposed of or not."""

    async def disposing() -> int:
        try:
            return await _backend()
        finally:
            await get_engine().dispose()

    assert run_async(_backend()) == run_async(disposing()) == run_async(_backend())


def test_other_loops_get_a_connection_for_each_session(url: str) -> None:
    """The reference's own pattern, a new loop for each task, works any number of times, and leaves nothing open."""

    async def pool() -> Any:
        return get_engine().pool

    assert len({asyncio.run(_backend()) for _ in range(3)}) == 3
    assert isinstance(asyncio.run(pool()), NullPool)


def test_a_connection_that_the_server_closed_is_replaced(url: str) -> None:
    """After PostgreSQL ended a connection, the next session gets a new one; no task fails for it."""
    old = run_async(_backend())
    driver = run_async(_driver_connection())

    async def end() -> None:
        async with DatabaseSessionLocal() as session:
            await session.execute(text(f"SELECT pg_terminate_backend({old})"))

    asyncio.run(end())
    wait_until(driver.is_closed, 10, "the loop has heard that the connection was closed")
    assert run_async(_backend()) != old


def test_a_forked_child_makes_connections_of_its_own(url: str) -> None:
    """What the parent has open is not spoken on by its children, and still works after them."""
    parent = run_async(_backend())
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=lambda: queue.put(run_async(_backend())))
    process.start()
    assert queue.get(timeout=20) != parent
    process.join(20)
    assert run_async(_backend()) == parent


def test_outside_a_loop_there_is_no_engine(url: str) -> None:
    """An engine belongs to a loop; asked for outside one, the error says so."""
    with pytest.raises(RuntimeError, match="must be asked for in a coroutine"):
        get_engine()


def test_without_a_database_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABASE_URL is named."""
    monkeypatch.delenv("DATABASE_URL", raising=False)
    with pytest.raises(RuntimeError, match="DATABASE_URL must be set"):
        asyncio.run(_backend())


async def _update(execution_id: object, fields: dict[str, Any]) -> None:
    async with DatabaseSessionLocal() as session:
        await SchedulerRepository().update_execution(session, execution_id, fields)
        await session.commit()


async def _reports() -> list[Any]:
    async with DatabaseSessionLocal() as session:
        return list(await session.execute(text("SELECT * FROM windrow.execution_reports ORDER BY attempt_id")))


async def _record(execution_id: str, external: str | None = None) -> None:
    async with DatabaseSessionLocal() as session:
        await session.execute(
            text(
                "INSERT INTO windrow.executions (id, queue, task, status_id, accepted_at, external_id)"
                " VALUES (:id, 'q', 't', 1, now(), :external)"
            ),
            {"id": UUID(execution_id), "external": external},
        )
        await session.commit()


def test_statuses_are_read_once(url: str) -> None:
    """A status has its id and code; a code that there is none of gives None, as the reference expects."""

    async def look(code: str) -> Any:
        async with DatabaseSessionLocal() as session:
            return await SchedulerRepository().get_execution_status_by_code(session, code)

    for code, number in STATUS_IDS.items():
        status = run_async(look(code))
        assert (status.id, status.code) == (number, code)
    assert run_async(look("nonsense")) is None


def test_inside_a_task_a_report_is_its_own_attempts(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever id is given, the report is of the running attempt; a second one changes only what it names."""
    execution, attempt = new_id(), new_id()
    running = Attempt(execution, attempt, "task id", "q", "t")
    monkeypatch.setattr(repository, "current_attempt", lambda: running)
    now = datetime.now(UTC)
    run_async(_update("anything", {"completed_at": now, "duration_ms": 5, "status_id": 5, "result_summary": "r"}))
    run_async(_update("anything", {"error_message": "e", "duration_ms": 6}))
    (row,) = run_async(_reports())
    assert (str(row.execution_id), str(row.attempt_id)) == (execution, attempt)
    assert (row.completed_at, row.duration_ms, row.status_id, row.result_summary, row.error_message) == (now, 6, 5, "r", "e")


def test_elsewhere_a_report_finds_its_execution(url: str) -> None:
    """By the execution's id, then by the id that its caller gave, the newest first."""
    now = time.time()
    first, older, newer = new_id(now), new_id(now), new_id(now + 1)
    run_async(_record(older, "order 7"))
    run_async(_record(newer, "order 7"))
    run_async(_record(first))
    run_async(_update("order 7", {"result_summary": "external"}))
    run_async(_update(first, {"result_summary": "own"}))
    run_async(_update(UUID(first), {"error_message": "both"}))
    rows = {str(row.execution_id): row for row in run_async(_reports())}
    assert rows.keys() == {first, newer}
    assert (rows[first].result_summary, rows[first].error_message) == ("own", "both")
    assert rows[newer].attempt_id == NO_ATTEMPT


def test_an_unknown_id_and_an_unknown_field_are_refused(url: str) -> None:
    """Each with a sentence that names it."""
    with pytest.raises(LookupError, match="'order 8'"):
        run_async(_update("order 8", {"duration_ms": 1}))
    with pytest.raises(LookupError, match="must have"):
        run_async(_update(new_id(), {"duration_ms": 1}))
    with pytest.raises(ValueError, match="'state' must be left out"):
        run_async(_update("order 8", {"state": "success"}))
