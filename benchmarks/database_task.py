"""The reference's database task ("Basic Task Structure"): one body, each side brings its session and repository."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

QUEUE = "bench"
"""The queue of both sides, which take turns."""

TABLE = """
create schema if not exists bench;
create table if not exists bench.work (id bigint generated always as identity primary key, param1 text, param2 int);
create table if not exists bench.statuses (id smallint primary key, code text not null unique);
create table if not exists bench.reports (
  execution_id text primary key, completed_at timestamptz, duration_ms bigint, status_id smallint,
  result_summary text, error_message text);
insert into bench.statuses values (1, 'success'), (2, 'failed') on conflict do nothing;
truncate bench.work, bench.reports
"""


async def work(session: Any, param1: str, param2: int) -> int:
    """The task's own SQL: one row in, one small aggregate out."""
    await session.execute(text("insert into bench.work (param1, param2) values (:a, :b)"), {"a": param1, "b": param2})
    found = await session.execute(text("select count(*) from (select 1 from bench.work limit 10) t"))
    return int(found.scalar_one())


async def execute(sessions: Any, repository: Any, execution_id: str | None, param1: str, param2: int) -> dict[str, Any]:
    """The reference's `_execute`, step by step: work, rollback on an error, status lookup, report, commit."""
    started_at = datetime.now(UTC)
    success = False
    error_message = None
    result: dict[str, Any] | None = None
    async with sessions() as session:
        try:
            result = {"status": "success", "result": await work(session, param1, param2)}
            success = True
        except Exception as error:
            error_message = str(error)
            await session.rollback()
            raise
        finally:
            if execution_id:
                completed_at = datetime.now(UTC)
                status = await repository.get_execution_status_by_code(session, "success" if success else "failed")
                if status:
                    await repository.update_execution(
                        session,
                        execution_id,
                        {
                            "completed_at": completed_at,
                            "duration_ms": int((completed_at - started_at).total_seconds() * 1000),
                            "status_id": status.id,
                            "result_summary": str(result) if success else None,
                            "error_message": error_message,
                        },
                    )
                    await session.commit()
    return result or {}
