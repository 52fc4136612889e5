"""The tables, all in PostgreSQL schema `windrow`.

`executions`, `attempts`, `messages` and `execution_reports` are RANGE-partitioned by the execution's UUIDv7, one partition
for each day (UTC). They carry no foreign keys, which would block dropping a partition, and no index on a column that
changes, so that updates stay heap-only. Times are `timestamptz`, durations seconds.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Float, Index, Integer, LargeBinary, MetaData, SmallInteger, Text, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SCHEMA: Final = "windrow"

PARTITIONED: Final = {
    "executions": "id",
    "attempts": "execution_id",
    "messages": "execution_id",
    "execution_reports": "execution_id",
}
"""Each partitioned table and its partition key."""

NO_ATTEMPT: Final = UUID(int=0)
"""Stands for the attempt in a report that was written outside one."""


class Base(DeclarativeBase):
    """Windrow's own tables."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map = {  # noqa: RUF012  # read by SQLAlchemy when the class is made, never written
        datetime: TIMESTAMP(timezone=True),
        str: Text(),
        float: Float(),
        int: Integer(),
    }


class ExecutionStatus(Base):
    """A state's code; `windrow.records.states` says what each means."""

    __tablename__ = "execution_statuses"

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(unique=True)


class Execution(Base):
    """One task call, from acceptance to its final state."""

    __tablename__ = "executions"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    task_id: Mapped[str | None]
    """Celery's task id: any text."""
    tag: Mapped[str | None]
    """The delivery tag of the message it waits with."""
    queue: Mapped[str]
    task: Mapped[str]
    status_id: Mapped[int] = mapped_column(SmallInteger)
    accepted_at: Mapped[datetime]
    due_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    """When its first attempt started."""
    finished_at: Mapped[datetime | None]
    """When it reached its final state."""
    priority: Mapped[int | None] = mapped_column(SmallInteger)
    retries: Mapped[int] = mapped_column(server_default=text("0"))
    replacements: Mapped[int] = mapped_column(server_default=text("0"))
    """How often a task of it was replaced (`self.replace`); its retries are counted from the last of them."""
    recoveries: Mapped[int] = mapped_column(server_default=text("0"))
    attempt_count: Mapped[int] = mapped_column(server_default=text("0"))
    """How many attempts are known."""
    worker: Mapped[str | None]
    """The worker of its last attempt."""
    wait_s: Mapped[float | None]
    """How long its first attempt waited, ready, in seconds."""
    run_s: Mapped[float | None]
    """How long its last attempt ran, in seconds."""
    root_id: Mapped[str | None]
    parent_id: Mapped[str | None]
    group_id: Mapped[str | None]
    external_id: Mapped[str | None]
    """The `execution_id` argument that the caller gave."""
    redo_of: Mapped[UUID | None]
    """The execution of which this is a redo."""
    origin: Mapped[str | None]
    args: Mapped[str | None]
    kwargs: Mapped[str | None]
    error: Mapped[str | None]
    """The class name of the last attempt's exception."""
    error_message: Mapped[str | None]
    result: Mapped[str | None]
    reason: Mapped[str | None]
    progress_state: Mapped[str | None]
    progress: Mapped[str | None]
    """What the task last gave to `update_state`, as JSON text."""
    progress_at: Mapped[datetime | None]
    trace_id: Mapped[str | None]
    """The W3C trace it belongs to, 32 hexadecimal digits."""

    __table_args__ = (
        Index("ix_executions_task_id", "task_id"),
        Index("ix_executions_external_id", "external_id", postgresql_where=text("external_id IS NOT NULL")),
        {"postgresql_partition_by": "RANGE (id)"},
    )


class Attempt(Base):
    """One run of an execution on one worker."""

    __tablename__ = "attempts"

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    queue: Mapped[str]
    task: Mapped[str]
    worker: Mapped[str | None]
    pid: Mapped[int | None]
    retries: Mapped[int] = mapped_column(server_default=text("0"))
    recoveries: Mapped[int] = mapped_column(server_default=text("0"))
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    """success, failed, retried, timed_out, killed, handed_back or refused; null while it runs."""
    wait_s: Mapped[float | None]
    run_s: Mapped[float | None]
    error: Mapped[str | None]
    message: Mapped[str | None]
    traceback: Mapped[str | None]
    early: Mapped[bool | None]
    """Whether its message was acknowledged before its end: it may not run again."""
    version: Mapped[str | None]
    """The release of Windrow that ran it; null for one older than 0.2.0."""
    peak_bytes: Mapped[int | None] = mapped_column(BigInteger)
    """The most resident memory its process held while it ran, in bytes; null where that is unknown."""
    cpu_s: Mapped[float | None]
    """CPU seconds that it used; null where that is unknown."""
    log: Mapped[str | None]
    """The end of what it logged, at most 64 KiB; null when there is nothing, or it was dropped."""

    __table_args__ = ({"postgresql_partition_by": "RANGE (execution_id)"},)


class ExecutionReport(Base):
    """What a task reported about itself (`update_execution`); the recorder never writes here."""

    __tablename__ = "execution_reports"

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    attempt_id: Mapped[UUID] = mapped_column(primary_key=True, server_default=text(f"'{NO_ATTEMPT}'"))
    """The attempt that reported; all zeros outside one."""
    completed_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None] = mapped_column(BigInteger)
    status_id: Mapped[int | None] = mapped_column(SmallInteger)
    result_summary: Mapped[str | None]
    error_message: Mapped[str | None]
    reported_at: Mapped[datetime] = mapped_column(server_default=text("now()"))

    __table_args__ = ({"postgresql_partition_by": "RANGE (execution_id)"},)


class Message(Base):
    """The message of an execution that has no final state yet, as it was put on its queue."""

    __tablename__ = "messages"

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    queue: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)

    __table_args__ = ({"postgresql_partition_by": "RANGE (execution_id)"},)


class Schedule(Base):
    """A task call that repeats."""

    __tablename__ = "schedules"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    task: Mapped[str]
    queue: Mapped[str | None]
    args: Mapped[Any] = mapped_column(JSONB, server_default=text("'[]'"))
    kwargs: Mapped[Any] = mapped_column(JSONB, server_default=text("'{}'"))
    cron: Mapped[str | None]
    every_s: Mapped[float | None]
    timezone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    next_at: Mapped[datetime | None]
    last_at: Mapped[datetime | None]


class Total(Base):
    """An exact counter, incremented in the transaction that writes what it counts; never purged."""

    __tablename__ = "totals"

    kind: Mapped[str] = mapped_column(primary_key=True)
    """finished (label: the final state), attempts, retries, failures (label: the exception's class), refusals (label: what),
    starts (label: in_time or late), logs_dropped."""
    queue: Mapped[str] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True, server_default=text("''"))
    value: Mapped[int] = mapped_column(BigInteger)


class RecorderPosition(Base):
    """How far a stream is on record: written in the same transaction as the rows that its entries made."""

    __tablename__ = "recorder_positions"

    stream: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[str]
    """The id of the last entry on record."""


class Broker(Base):
    """The Redis that the records were last compared with: another run of it, or another marker in it, may have lost data."""

    __tablename__ = "brokers"

    stream: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str | None]
    """Redis' own id of its run; null where it doesn't tell."""
    marker: Mapped[str]
    """What the key `windrow:marker` held."""


class OpenChord(Base):
    """A chord that has begun and whose body was not published yet, to be put back if Redis loses it."""

    __tablename__ = "chords"

    group_id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(primary_key=True)
    """Which run of the group; empty when a stock producer published its header."""
    size: Mapped[int | None]
    """How many parts it has."""
    expires_s: Mapped[int]
    """How long Redis keeps its keys, in seconds; 0 for ever."""
    header: Mapped[str | None]
    """Celery's text of the header's shape, when groups stand in it."""
    body: Mapped[str | None]
    """The signature of its body, as JSON text; null before the first part was counted."""
    begun_at: Mapped[datetime | None]


class ChordPart(Base):
    """A part of such a chord that was counted."""

    __tablename__ = "chord_parts"

    group_id: Mapped[str] = mapped_column(primary_key=True)
    run: Mapped[str] = mapped_column(primary_key=True)
    who: Mapped[str] = mapped_column(primary_key=True)
    """Task id and place."""
    place: Mapped[str]
    ordered: Mapped[bool]
    part: Mapped[str | None]
    """Celery's text of it; null when it is too long to be kept."""


class ExecutionKey(Base):
    """What must be unique over all partitions: a (task id, delivery tag) or an idempotency key. Purged with its execution."""

    __tablename__ = "execution_keys"

    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    execution_id: Mapped[UUID]
    task_id: Mapped[str | None]
    """Celery's task id of that execution."""

    __table_args__ = (Index("ix_execution_keys_execution_id", "execution_id"),)


class Outbox(Base):
    """A task call accepted in a database's transaction, until it is on its queue and on record.

    This table may also stand in other databases (`windrow migrate --outbox`); the dispatcher reads those too.
    """

    __tablename__ = "outbox"

    execution_id: Mapped[UUID] = mapped_column(primary_key=True)
    queue: Mapped[str]
    task: Mapped[str]
    task_id: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    """The message as it goes on its queue."""
    enqueued_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    published_at: Mapped[datetime | None]
    """When it was last put on its queue; the recorder deletes the row when it has recorded that."""

    __table_args__ = (Index("ix_outbox_unpublished", "execution_id", postgresql_where=text("published_at IS NULL")),)
