"""What PostgreSQL has on record at the end of a run; read with SQL, not by Windrow's code."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import asyncpg

from tests.chaos.log import FINALS

T = TypeVar("T")

_CODES = "select e.id::text, coalesce(e.task_id, e.id::text), s.code from windrow.executions e"
_JOIN = " join windrow.execution_statuses s on s.id = e.status_id"


class Unreadable(RuntimeError):
    """PostgreSQL did not answer."""


def migrate(url: str) -> None:
    """Make Windrow's tables."""
    from windrow.records.migrate import migrate as make

    make(url)


def states(url: str) -> dict[str, tuple[str, str]]:
    """Execution id → (task id, state), for all on record."""
    found = ask(url, lambda link: link.fetch(_CODES + _JOIN))
    return {row[0]: (row[1], row[2]) for row in found}


def count(url: str) -> tuple[int, int]:
    """How many executions have no final state, and how many have one."""
    found = {row[0]: row[1] for row in ask(url, lambda link: link.fetch(
        "select s.code, count(*) from windrow.executions e" + _JOIN + " group by 1"
    ))}  # fmt: skip
    final = sum(number for state, number in found.items() if state in FINALS)
    return sum(found.values()) - final, final


def final_tasks(url: str) -> set[str]:
    """The task ids of all executions with a final state."""
    return {task for task, state in states(url).values() if state in FINALS}


def ask(url: str, question: Callable[[Any], Awaitable[T]]) -> T:
    """What a question to PostgreSQL gives; raises Unreadable."""

    async def run() -> T:
        try:
            link = await asyncpg.connect(url, timeout=5, command_timeout=20)
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            raise Unreadable(f"PostgreSQL must answer: {error}") from error
        try:
            return await question(link)
        except (OSError, asyncpg.PostgresError, TimeoutError) as error:
            raise Unreadable(f"PostgreSQL must answer: {error}") from error
        finally:
            await link.close(timeout=2)

    return asyncio.run(run())
