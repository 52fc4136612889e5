"""Rows of the records while a batch is folded: plain data, between what is on record and what will be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from windrow.records import states

TotalKey = tuple[str, str, str, str]
"""kind, queue, task, label: the primary key of `totals`."""


@dataclass(slots=True)
class ExecutionRow:
    """A row of `executions`; the fields are its columns."""

    id: UUID
    queue: str
    task: str
    accepted_at: datetime | None
    state: str = states.READY
    task_id: str | None = None
    tag: str | None = None
    due_at: datetime | None = None
    expires_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    priority: int | None = None
    retries: int = 0
    replacements: int = 0
    recoveries: int = 0
    attempt_count: int = 0
    worker: str | None = None
    wait_s: float | None = None
    run_s: float | None = None
    root_id: str | None = None
    parent_id: str | None = None
    group_id: str | None = None
    external_id: str | None = None
    redo_of: UUID | None = None
    origin: str | None = None
    args: str | None = None
    kwargs: str | None = None
    error: str | None = None
    error_message: str | None = None
    result: str | None = None
    reason: str | None = None
    progress_state: str | None = None
    progress: str | None = None
    progress_at: datetime | None = None
    trace_id: str | None = None
    stored: bool = False
    """Whether it is on record already."""
    settled: bool = False
    """Whether this batch says how its last attempt ended: error, result and reason are then this row's, even if null."""


@dataclass(slots=True)
class AttemptRow:
    """A row of `attempts`; the fields are its columns."""

    execution_id: UUID
    id: UUID
    queue: str
    task: str
    worker: str | None = None
    pid: int | None = None
    retries: int = 0
    recoveries: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    wait_s: float | None = None
    run_s: float | None = None
    error: str | None = None
    message: str | None = None
    traceback: str | None = None
    early: bool | None = None
    version: str | None = None
    peak_bytes: int | None = None
    cpu_s: float | None = None
    log: str | None = None
    stored: bool = False


@dataclass(slots=True)
class Rows:
    """What a batch changes."""

    executions: dict[UUID, ExecutionRow] = field(default_factory=dict)
    attempts: dict[tuple[UUID, UUID], AttemptRow] = field(default_factory=dict)
    messages: dict[UUID, tuple[str, bytes]] = field(default_factory=dict)
    """Queue and message of those that have not succeeded: what did not can be run again."""
    spent: set[UUID] = field(default_factory=set)
    """Executions that succeeded in this batch: their messages are dropped."""
    dispatched: set[UUID] = field(default_factory=set)
    """Executions whose acceptance came from the outbox: with this batch on record they leave it."""
    unaccepted: set[UUID] = field(default_factory=set)
    """Executions that ended in this batch and of which no acceptance was told: Redis lost it. They leave the outbox too."""
    finished: set[UUID] = field(default_factory=set)
    """Executions that reached their final state in this batch."""
    totals: Counter[TotalKey] = field(default_factory=Counter)
