"""Which execution, and which run of it, an event speaks of."""

from __future__ import annotations

from uuid import UUID

from windrow.broker.events import Event
from windrow.records import clean
from windrow.records.rows import ExecutionRow


def generation(row: ExecutionRow, event: Event) -> tuple[int, int]:
    """Which run of the execution an event belongs to: how often it was replaced, and its retry since then."""
    nesting = event.get("nesting")
    return row.replacements if nesting is None else clean.count(nesting), clean.count(event.get("retries"))


def skeleton(identity: UUID, event: Event) -> ExecutionRow:
    """The row of an execution of which nothing is known but this event."""
    return ExecutionRow(
        id=identity,
        queue=clean.text(event.get("queue")) or "",
        task=clean.text(event.get("task")) or "",
        accepted_at=clean.moment((identity.int >> 80) / 1000),
    )


def identify(row: ExecutionRow, event: Event) -> None:
    """Fill in what only an acceptance, or an end without one, tells about the call."""
    row.queue = clean.text(event.get("queue")) or row.queue
    row.task = clean.text(event.get("task")) or row.task
    row.task_id = clean.text(event.get("task_id")) or row.task_id
    row.tag = clean.text(event.get("tag")) or row.tag
    row.args = clean.text(event.get("args"), clean.VIEW)
    row.kwargs = clean.text(event.get("kwargs"), clean.VIEW)
    row.expires_at = clean.moment(event.get("expires")) or row.expires_at
    if "priority" in event and event["priority"] is not None:
        row.priority = min(clean.count(event["priority"]), 255)
    row.root_id = clean.text(event.get("root")) or row.root_id
    row.parent_id = clean.text(event.get("parent")) or row.parent_id
    row.group_id = clean.text(event.get("group")) or row.group_id
    row.external_id = clean.text(event.get("external")) or row.external_id
    row.redo_of = clean.uuid(event.get("redo_of")) or row.redo_of
    row.origin = clean.text(event.get("origin")) or row.origin
