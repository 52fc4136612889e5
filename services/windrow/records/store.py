"""Reading and writing a batch's rows with as few statements as there are tables, straight through asyncpg.

Rows that are on record are read and changed in their own day's partition by name: a join against the parent would be
planned over every partition there is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date
from typing import Any, Final
from uuid import UUID

import asyncpg

from windrow.records import partitions, states
from windrow.records.rows import AttemptRow, ExecutionRow, Rows, TotalKey
from windrow.records.tables import SCHEMA

_EXECUTION_COLUMNS: Final = (
    "id", "queue", "task", "accepted_at", "status_id", "task_id", "tag", "due_at", "expires_at", "started_at",
    "finished_at", "priority", "retries", "replacements", "recoveries", "attempt_count", "worker", "wait_s", "run_s",
    "root_id", "parent_id", "group_id", "external_id", "redo_of", "origin", "args", "kwargs", "error", "error_message",
    "result", "reason", "progress_state", "progress", "progress_at", "trace_id",
)  # fmt: skip

_ATTEMPT_COLUMNS: Final = (
    "execution_id", "id", "queue", "task", "worker", "pid", "retries", "recoveries", "started_at", "ended_at", "outcome",
    "wait_s", "run_s", "error", "message", "traceback", "early", "version", "peak_bytes", "cpu_s", "log",
)  # fmt: skip

# Column, type, and how a stored row takes it: "=" as given, "+" unless null, "?" as given if the batch settles the row.
_EXECUTION_CHANGES: Final = (
    ("queue", "text", "="), ("task", "text", "="), ("status_id", "smallint", "="), ("due_at", "timestamptz", "="),
    ("retries", "int", "="), ("replacements", "int", "="), ("recoveries", "int", "="), ("attempt_count", "int", "="),
    ("started_at", "timestamptz", "+"),
    ("wait_s", "float8", "+"), ("worker", "text", "+"), ("run_s", "float8", "+"), ("finished_at", "timestamptz", "+"),
    ("task_id", "text", "+"), ("tag", "text", "+"), ("expires_at", "timestamptz", "+"), ("priority", "smallint", "+"),
    ("root_id", "text", "+"), ("parent_id", "text", "+"), ("group_id", "text", "+"), ("external_id", "text", "+"),
    ("redo_of", "uuid", "+"), ("origin", "text", "+"), ("args", "text", "+"), ("kwargs", "text", "+"),
    ("progress_state", "text", "+"), ("progress", "text", "+"), ("progress_at", "timestamptz", "+"), ("trace_id", "text", "+"),
    ("error", "text", "?"), ("error_message", "text", "?"), ("result", "text", "?"), ("reason", "text", "?"),
)  # fmt: skip

_ATTEMPT_CHANGES: Final = (
    ("worker", "text"), ("pid", "int"), ("started_at", "timestamptz"), ("ended_at", "timestamptz"), ("outcome", "text"),
    ("wait_s", "float8"), ("run_s", "float8"), ("error", "text"), ("message", "text"), ("traceback", "text"),
    ("early", "boolean"), ("version", "text"), ("peak_bytes", "bigint"), ("cpu_s", "float8"), ("log", "text"),
)  # fmt: skip


def _update_executions() -> str:
    takes = {"=": "u.{0}", "+": "COALESCE(u.{0}, e.{0})", "?": "CASE WHEN u.settled THEN u.{0} ELSE e.{0} END"}
    sets = ", ".join(f"{name} = {takes[how].format(name)}" for name, _, how in _EXECUTION_CHANGES)
    types = ["uuid", "boolean", *(kind for _, kind, _ in _EXECUTION_CHANGES)]
    arrays = ", ".join(f"${index}::{kind}[]" for index, kind in enumerate(types, 1))
    names = ", ".join(["id", "settled", *(name for name, _, _ in _EXECUTION_CHANGES)])
    finals = ", ".join(map(str, states.FINAL_IDS))
    return (
        f"UPDATE {SCHEMA}.%s e SET {sets} FROM unnest({arrays}) AS u({names}) "  # noqa: S608  # constants above
        f"WHERE e.id = u.id AND e.status_id NOT IN ({finals})"
    )


def _update_attempts() -> str:
    sets = ", ".join(f"{name} = u.{name}" for name, _ in _ATTEMPT_CHANGES)
    types = ["uuid", "uuid", *(kind for _, kind in _ATTEMPT_CHANGES)]
    arrays = ", ".join(f"${index}::{kind}[]" for index, kind in enumerate(types, 1))
    names = ", ".join(["execution_id", "id", *(name for name, _ in _ATTEMPT_CHANGES)])
    return (
        f"UPDATE {SCHEMA}.%s a SET {sets} FROM unnest({arrays}) AS u({names}) "  # noqa: S608  # constants above
        "WHERE a.execution_id = u.execution_id AND a.id = u.id "
        "AND (a.outcome IS NULL OR (a.outcome = 'killed' AND u.outcome = 'refused'))"
    )


_UPDATE_EXECUTIONS: Final = _update_executions()
_UPDATE_ATTEMPTS: Final = _update_attempts()

_LOAD_EXECUTIONS: Final = (
    "SELECT id, queue, task, status_id, tag, due_at, started_at, retries, replacements, recoveries, attempt_count, wait_s "  # noqa: S608
    f"FROM {SCHEMA}.%s WHERE id = ANY($1::uuid[])"
)
_LOAD_ATTEMPTS: Final = (
    "SELECT execution_id, id, queue, task, worker, pid, retries, recoveries, started_at, outcome, wait_s, early, version "  # noqa: S608
    f"FROM {SCHEMA}.%s WHERE execution_id = ANY($1::uuid[])"
)
_SAVE_MESSAGES: Final = (
    f"INSERT INTO {SCHEMA}.messages (execution_id, queue, body) "  # noqa: S608
    "SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[]) "
    "ON CONFLICT (execution_id) DO UPDATE SET queue = EXCLUDED.queue, body = EXCLUDED.body"
)
_DROP_MESSAGES: Final = f"DELETE FROM {SCHEMA}.%s WHERE execution_id = ANY($1::uuid[])"  # noqa: S608
_DROP_DISPATCHED: Final = f"DELETE FROM {SCHEMA}.outbox WHERE execution_id = ANY($1::uuid[])"  # noqa: S608
_TAKE_UNACCEPTED: Final = (
    f"DELETE FROM {SCHEMA}.outbox WHERE execution_id = ANY($1::uuid[]) "  # noqa: S608
    "RETURNING execution_id, task_id, task, queue"
)
_SAVE_TOTALS: Final = (
    f"INSERT INTO {SCHEMA}.totals AS t (kind, queue, task, label, value) "  # noqa: S608
    "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) "
    "ON CONFLICT (kind, queue, task, label) DO UPDATE SET value = t.value + EXCLUDED.value"
)

# A join of a few rows of a batch with a partition of millions must go by the primary key, whatever was last analyzed.
PLAN: Final = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL enable_seqscan = off"


def by_day(ids: Iterable[UUID]) -> dict[date, list[UUID]]:
    """Execution ids grouped by the day of their partition."""
    days: dict[date, list[UUID]] = {}
    last_key, last_day = -1, date.min
    for identity in ids:
        key = (identity.int >> 80) // 86_400_000
        if key != last_key:
            last_key, last_day = key, partitions.day_of(identity)
        days.setdefault(last_day, []).append(identity)
    return days


async def load_executions(connection: asyncpg.Connection, ids: Collection[UUID]) -> dict[UUID, ExecutionRow]:
    """Those of the executions that are on record, with the columns that `fold` looks at."""
    found: dict[UUID, ExecutionRow] = {}
    for day, group in by_day(ids).items():
        for record in await connection.fetch(_LOAD_EXECUTIONS % partitions.name("executions", day), group):
            found[record["id"]] = ExecutionRow(
                id=record["id"],
                queue=record["queue"],
                task=record["task"],
                accepted_at=None,
                state=states.CODES[record["status_id"]],
                tag=record["tag"],
                due_at=record["due_at"],
                started_at=record["started_at"],
                retries=record["retries"],
                replacements=record["replacements"],
                recoveries=record["recoveries"],
                attempt_count=record["attempt_count"],
                wait_s=record["wait_s"],
                stored=True,
            )
    return found


async def load_attempts(connection: asyncpg.Connection, executions: Collection[UUID]) -> dict[tuple[UUID, UUID], AttemptRow]:
    """The attempts of these executions that are on record."""
    found: dict[tuple[UUID, UUID], AttemptRow] = {}
    for day, group in by_day(executions).items():
        for record in await connection.fetch(_LOAD_ATTEMPTS % partitions.name("attempts", day), group):
            found[(record["execution_id"], record["id"])] = AttemptRow(**record, stored=True)
    return found


async def save(connection: asyncpg.Connection, rows: Rows) -> None:
    """Write what a batch changes, in the connection's transaction."""
    if rows.unaccepted:
        # The outbox knows what they are; they have run, and must not be published again.
        for record in await connection.fetch(_TAKE_UNACCEPTED, list(rows.unaccepted)):
            row = rows.executions[record["execution_id"]]
            row.task_id, row.task, row.queue = record["task_id"], record["task"], record["queue"]
    new = [row for row in rows.executions.values() if not row.stored]
    if new:
        await connection.copy_records_to_table(
            "executions", schema_name=SCHEMA, columns=_EXECUTION_COLUMNS, records=map(_execution_record, new)
        )
    attempts = [row for row in rows.attempts.values() if not row.stored]
    if attempts:
        await connection.copy_records_to_table(
            "attempts", schema_name=SCHEMA, columns=_ATTEMPT_COLUMNS, records=map(_attempt_record, attempts)
        )
    await _save_changed(connection, rows)
    if rows.messages:
        queues, bodies = zip(*rows.messages.values(), strict=True)
        await connection.execute(_SAVE_MESSAGES, list(rows.messages), queues, bodies)
    gone = [identity for identity in rows.spent if rows.executions[identity].stored]
    for day, group in by_day(gone).items():
        await connection.execute(_DROP_MESSAGES % partitions.name("messages", day), group)
    if rows.dispatched:
        await connection.execute(_DROP_DISPATCHED, list(rows.dispatched))


async def save_totals(connection: asyncpg.Connection, totals: Mapping[TotalKey, int]) -> None:
    """Add to the exact counters."""
    if totals:
        # In one order always, so that two writers never wait for each other.
        items = sorted(totals.items())
        columns = list(zip(*(key for key, _ in items), strict=True))
        await connection.execute(_SAVE_TOTALS, *columns, [value for _, value in items])


async def _save_changed(connection: asyncpg.Connection, rows: Rows) -> None:
    executions = [row for row in rows.executions.values() if row.stored]
    for day, group in _rows_by_day(executions, lambda row: row.id).items():
        columns = zip(*map(_execution_change, group), strict=True)
        await connection.execute(_UPDATE_EXECUTIONS % partitions.name("executions", day), *columns)
    attempts = [row for row in rows.attempts.values() if row.stored]
    for day, group in _rows_by_day(attempts, lambda row: row.execution_id).items():
        columns = zip(*map(_attempt_change, group), strict=True)
        await connection.execute(_UPDATE_ATTEMPTS % partitions.name("attempts", day), *columns)


def _rows_by_day(rows: list[Any], identity: Callable[[Any], UUID]) -> dict[date, list[Any]]:
    found: dict[UUID, list[Any]] = {identity(row): [] for row in rows}
    for row in rows:
        found[identity(row)].append(row)
    return {day: [row for one in ids for row in found[one]] for day, ids in by_day(found).items()}


def _execution_record(row: ExecutionRow) -> tuple[Any, ...]:
    return (
        row.id, row.queue, row.task, row.accepted_at, states.STATUS_IDS[row.state], row.task_id, row.tag, row.due_at,
        row.expires_at, row.started_at, row.finished_at, row.priority, row.retries, row.replacements, row.recoveries,
        row.attempt_count,
        row.worker, row.wait_s, row.run_s, row.root_id, row.parent_id, row.group_id, row.external_id, row.redo_of,
        row.origin, row.args, row.kwargs, row.error, row.error_message, row.result, row.reason, row.progress_state,
        row.progress, row.progress_at, row.trace_id,
    )  # fmt: skip


def _execution_change(row: ExecutionRow) -> tuple[Any, ...]:
    return (
        row.id, row.settled, row.queue, row.task, states.STATUS_IDS[row.state], row.due_at, row.retries, row.replacements,
        row.recoveries,
        row.attempt_count, row.started_at, row.wait_s, row.worker, row.run_s, row.finished_at, row.task_id, row.tag,
        row.expires_at, row.priority, row.root_id, row.parent_id, row.group_id, row.external_id, row.redo_of, row.origin,
        row.args, row.kwargs, row.progress_state, row.progress, row.progress_at, row.trace_id,
        row.error, row.error_message,
        row.result, row.reason,
    )  # fmt: skip


def _attempt_record(row: AttemptRow) -> tuple[Any, ...]:
    return (
        row.execution_id, row.id, row.queue, row.task, row.worker, row.pid, row.retries, row.recoveries, row.started_at,
        row.ended_at, row.outcome, row.wait_s, row.run_s, row.error, row.message, row.traceback, row.early, row.version,
        row.peak_bytes, row.cpu_s, row.log,
    )  # fmt: skip


def _attempt_change(row: AttemptRow) -> tuple[Any, ...]:
    return (
        row.execution_id, row.id, row.worker, row.pid, row.started_at, row.ended_at, row.outcome, row.wait_s, row.run_s,
        row.error, row.message, row.traceback, row.early, row.version, row.peak_bytes, row.cpu_s, row.log,
    )  # fmt: skip
