"""What a batch of events makes of executions: a pure function from events and what is on record to rows.

The rules, one place each below:
- an execution gets its row from the first event that names it, whatever its kind;
- a final never changes and counts once;
- a retry, or what `replace` puts in a task's place, goes on with its execution; what is told of an earlier one changes nothing;
- an attempt counts once, when it first ends; after the execution's final only an attempt whose place another message took may
  still report its end (that can be finished elsewhere before its predecessor's worker has said so).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from windrow.broker.events import ACCEPTED, CHORD, ENDED, MOVED, PROGRESS, RECOVERED, REFUSED, STARTED, Event
from windrow.records import clean, states
from windrow.records.identify import generation, identify, skeleton
from windrow.records.rows import AttemptRow, ExecutionRow, Rows

FINISHED: Final = "finished"
ATTEMPTS: Final = "attempts"
RETRIES: Final = "retries"
FAILURES: Final = "failures"
REFUSALS: Final = "refusals"
STARTS: Final = "starts"
LOGS_DROPPED: Final = "logs_dropped"

LATE: Final = "late"
IN_TIME: Final = "in_time"
"""How an attempt of a queue with a start objective has begun."""

OTHER: Final = "other"
"""The task name under which rejected executions are counted: theirs is the sender's word, and without bounds."""

_UNNAMED_ERRORS: Final = {"failed": "Error", "timed_out": "TimeLimitExceeded", "killed": "WorkerLost"}
"""What an attempt that ended badly is counted under when its event names no exception."""


def fold(
    events: Iterable[tuple[UUID, Event]],
    executions: Mapping[UUID, ExecutionRow],
    attempts: Mapping[tuple[UUID, UUID], AttemptRow],
) -> Rows:
    """Apply `events`, each with its execution's id, in order to what is on record; raises nothing, whatever they hold.

    `executions` and `attempts` must have every stored row that the events name; the rows in them are changed.
    """
    work = _Fold(executions, attempts)
    for identity, event in events:
        if event["k"] != CHORD:  # of a group, not of an execution: `windrow.records.chords`
            work.apply(identity, event)
    return work.rows


class _Fold:
    def __init__(self, executions: Mapping[UUID, ExecutionRow], attempts: Mapping[tuple[UUID, UUID], AttemptRow]) -> None:
        self.rows = Rows()
        self._executions = executions
        self._attempts = attempts
        self._kinds = {
            ACCEPTED: self._accepted,
            STARTED: self._started,
            PROGRESS: self._progress,
            ENDED: self._ended,
            MOVED: self._moved,
            RECOVERED: self._ended,
            REFUSED: self._refused,
        }

    def apply(self, identity: UUID, event: Event) -> None:
        row = self.rows.executions.get(identity) or self._executions.get(identity)
        if row is None:
            row = skeleton(identity, event)
        if event.get("durable") is True:
            self.rows.dispatched.add(identity)
        self._kinds[event["k"]](row, event)

    def _touch(self, row: ExecutionRow) -> None:
        self.rows.executions[row.id] = row

    def _message(self, row: ExecutionRow, event: Event) -> None:
        self._keep(row, event.get("message"))

    def _keep(self, row: ExecutionRow, message: object) -> None:
        if isinstance(message, str):
            self.rows.messages[row.id] = (row.queue, message.encode("utf-8", "surrogatepass"))

    def _accepted(self, row: ExecutionRow, event: Event) -> None:
        if row.state in states.FINALS:
            return
        retries = clean.count(event.get("retries"))
        run = (clean.count(event.get("nesting")), retries)
        tag = clean.text(event.get("tag"))
        known = row.tag is not None
        standing = (row.replacements, row.retries)
        if known and (run < standing or (run == standing and tag == row.tag)):
            return
        identify(row, event)
        row.trace_id = clean.text(event.get("trace"), 32) or row.trace_id
        # A task's counters stand at zero from its first acceptance on, so that a scrape may see them before they grow.
        self.rows.totals[(ATTEMPTS, row.queue, row.task, "")] += 0
        at = clean.moment(event.get("t"))
        if not known and not row.stored and not retries:
            row.accepted_at = at or row.accepted_at
        if known or row.state != states.RUNNING:
            row.replacements, row.retries = run
            row.due_at = clean.moment(event.get("due"))
            if retries:
                row.state = states.RETRYING
            elif row.due_at is not None and at is not None and row.due_at > at:
                row.state = states.DELAYED
            else:
                row.state = states.READY
        self._message(row, event)
        self._touch(row)

    def _started(self, row: ExecutionRow, event: Event) -> None:
        if row.state in states.FINALS:
            return
        identity = clean.uuid(event.get("attempt"))
        attempt = self._attempt(row, identity, event) if identity else None
        if attempt is not None:
            if attempt.outcome is not None:
                return
            self._count_start(attempt, event)
            attempt.started_at = attempt.started_at or clean.moment(event.get("t"))
            attempt.early = event.get("early") is True or None
        run = generation(row, event)
        if run < (row.replacements, row.retries):
            return
        row.replacements, row.retries = run
        row.state = states.RUNNING
        row.due_at = None
        self._running(row, event, clean.moment(event.get("t")))
        self._touch(row)

    def _progress(self, row: ExecutionRow, event: Event) -> None:
        if row.state in states.FINALS:
            return
        row.progress_state = clean.text(event.get("state"))
        row.progress = clean.text(event.get("meta"), clean.MESSAGE)
        row.progress_at = clean.moment(event.get("t"))
        self._touch(row)

    def _moved(self, row: ExecutionRow, event: Event) -> None:
        if row.state in states.FINALS or row.state == states.RUNNING:
            return
        due = clean.moment(event.get("due"))
        row.due_at = due
        if row.state != states.RETRYING or due is None:
            row.state = states.DELAYED if event.get("state") == states.DELAYED else states.READY
        row.reason = clean.text(event.get("reason"), clean.MESSAGE)
        self._touch(row)

    def _refused(self, row: ExecutionRow, event: Event) -> None:
        """An attempt's end came when its message had been given to others, or an exact copy of the message was thrown away."""
        if event.get("what") not in ("finish", "copy"):
            return
        self._touch(row)
        self.rows.totals[(REFUSALS, row.queue, row.task, event["what"])] += 1
        told = event.get("of")
        if not isinstance(told, dict):
            return
        identity = clean.uuid(told.get("attempt"))
        if identity is None:
            return
        attempt = self._attempt(row, identity, told)
        if attempt.outcome is None:
            # Nobody else has told its end. An attempt that was recovered has been counted then.
            self.rows.totals[(ATTEMPTS, attempt.queue, attempt.task, "")] += 1
        if attempt.outcome in (None, "killed"):
            attempt.outcome = "refused"
            attempt.ended_at = clean.moment(told.get("t"))
            attempt.run_s = clean.number(told.get("run"))
            self._log(attempt, told)

    def _ended(self, row: ExecutionRow, event: Event) -> None:
        final = row.state in states.FINALS
        identity = clean.uuid(event.get("attempt"))
        outcome = event.get("outcome")
        earlier = event.get("retries") is not None and generation(row, event) < (row.replacements, row.retries)
        # Null, or a state of a later release: only the attempt's end is told.
        state = event["state"] if event.get("state") in states.STATUS_IDS else None
        if final and not (identity and (earlier or state is None)):
            return
        attempt = None
        if identity and outcome:
            attempt = self._end_attempt(row, identity, event)
            if attempt is None and state not in states.FINALS:
                return  # heard before
        if final or (attempt is None and state is None):
            return
        self._settle(row, event, attempt)
        if state in states.FINALS:
            self._finish(row, event, state)
        elif state is not None and not earlier:
            row.state = state
            row.due_at = clean.moment(event.get("due"))
        self._touch(row)

    def _settle(self, row: ExecutionRow, event: Event, attempt: AttemptRow | None) -> None:
        """Put down how the last attempt ended."""
        row.recoveries = max(row.recoveries, clean.count(event.get("recoveries")))
        if event.get("retries") is not None:
            row.replacements, row.retries = max((row.replacements, row.retries), generation(row, event))
        if row.tag is None:
            identify(row, event)
        if attempt is not None:
            self._running(row, event, attempt.started_at)
            row.run_s = attempt.run_s if attempt.run_s is not None else row.run_s
        row.settled = True
        row.error = attempt.error if attempt is not None else clean.text(event.get("error"))
        row.error_message = clean.text(event.get("message"), clean.MESSAGE)
        row.result = clean.text(event.get("result"), clean.VIEW)
        row.reason = clean.text(event.get("reason"), clean.MESSAGE)

    def _finish(self, row: ExecutionRow, event: Event, state: str) -> None:
        row.state = state
        row.due_at = None
        row.finished_at = clean.moment(event.get("t"))
        self.rows.finished.add(row.id)
        if row.tag is None:
            self.rows.unaccepted.add(row.id)
        if state == states.SUCCESS:
            self.rows.messages.pop(row.id, None)
            self.rows.spent.add(row.id)
        else:
            self._keep(row, event.get("body"))
        task = OTHER if state == states.REJECTED else row.task
        self.rows.totals[(FINISHED, row.queue, task, state)] += 1

    def _attempt(self, row: ExecutionRow, identity: UUID, event: Event) -> AttemptRow:
        """The attempt, from this batch, the record, or new; counted into the execution's attempts when new."""
        key = (row.id, identity)
        attempt = self.rows.attempts.get(key) or self._attempts.get(key)
        if attempt is None:
            attempt = AttemptRow(
                row.id,
                identity,
                clean.text(event.get("queue")) or row.queue,
                clean.text(event.get("task")) or row.task,
                retries=clean.count(event.get("retries")),
                recoveries=clean.count(event.get("recoveries")),
                wait_s=clean.number(event.get("wait")),
            )
            row.attempt_count += 1
            self._touch(row)
        attempt.worker = clean.text(event.get("worker")) or attempt.worker
        attempt.pid = clean.count(event.get("pid")) or attempt.pid
        attempt.version = clean.text(event.get("version")) or attempt.version
        self.rows.attempts[key] = attempt
        return attempt

    def _end_attempt(self, row: ExecutionRow, identity: UUID, event: Event) -> AttemptRow | None:
        """Note the attempt's end and count it; None if it had ended before."""
        attempt = self._attempt(row, identity, event)
        if attempt.outcome is not None:
            return None
        outcome = clean.text(event.get("outcome")) or "failed"
        attempt.outcome = outcome
        attempt.ended_at = clean.moment(event.get("t"))
        self._count_start(attempt, event)
        attempt.started_at = attempt.started_at or clean.moment(event.get("started"))
        attempt.run_s = clean.number(event.get("run"))
        if attempt.wait_s is None:
            attempt.wait_s = clean.number(event.get("wait"))
        attempt.peak_bytes = clean.size(event.get("peak"))
        attempt.cpu_s = clean.number(event.get("cpu"))
        self._log(attempt, event)
        if outcome != "success":
            attempt.error = clean.text(event.get("error")) or _UNNAMED_ERRORS.get(outcome)
            attempt.message = clean.text(event.get("message"), clean.MESSAGE)
            attempt.traceback = _last(event.get("traceback"), clean.TRACEBACK)
        totals = self.rows.totals
        totals[(ATTEMPTS, attempt.queue, attempt.task, "")] += 1
        if outcome == "retried":
            totals[(RETRIES, attempt.queue, attempt.task, "")] += 1
        if attempt.error is not None:
            totals[(FAILURES, attempt.queue, attempt.task, attempt.error)] += 1
        return attempt

    def _log(self, attempt: AttemptRow, event: Event) -> None:
        log = event.get("log")
        if log is False:  # left out of the stream
            self.rows.totals[(LOGS_DROPPED, attempt.queue, OTHER, "")] += 1
        elif log is not None:
            attempt.log = _last(log, clean.LOG)

    def _count_start(self, attempt: AttemptRow, event: Event) -> None:
        """Count an attempt's start against its queue's objective, when it is first told of."""
        late = event.get("late")
        if attempt.started_at is None and isinstance(late, bool):
            self.rows.totals[(STARTS, attempt.queue, OTHER, LATE if late else IN_TIME)] += 1

    def _running(self, row: ExecutionRow, event: Event, started: datetime | None) -> None:
        row.worker = clean.text(event.get("worker")) or row.worker
        row.recoveries = max(row.recoveries, clean.count(event.get("recoveries")))
        if row.started_at is None:
            row.started_at = started
            row.wait_s = clean.number(event.get("wait"))


def _last(value: object, limit: int) -> str | None:
    """The last `limit` characters: a traceback's end says most."""
    return clean.text(value[-limit:] if isinstance(value, str) else value, limit)
