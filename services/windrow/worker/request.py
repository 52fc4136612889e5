"""Requests: what Celery's worker says about one task call, told as events (`attempts`).

Celery runs the task and keeps its own books (results, signals, callbacks); the message's end is Windrow's: acknowledging,
giving back and recording are one step in Redis.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from billiard.einfo import ExceptionWithTraceback
from billiard.exceptions import SoftTimeLimitExceeded, Terminated, WorkerLostError
from celery import signals
from celery.exceptions import Ignore, Reject, Retry
from celery.worker import request as stock
from celery.worker.state import task_ready

from windrow.authoring.redaction import keeps_log
from windrow.authoring.replacing import Replaced
from windrow.authoring.results import ATTEMPT
from windrow.broker import events
from windrow.broker.inflight import Taken
from windrow.broker.trace import TRACEPARENT
from windrow.queues.derive import EffectiveLimits, Limits, effective_limits
from windrow.worker.attempts import Attempts
from windrow.worker.board import Overdue
from windrow.worker.pools.inprocess import Job as InProcessJob
from windrow.worker.pools.jobs import Job
from windrow.worker.report import ended_event, error_of
from windrow.worker.usage import Used

Request = stock.Request


class Reporting(stock.Request):
    """Celery's request, which tells what becomes of it; `attempts` is set on a class of each worker's own."""

    attempts: Attempts
    time_limits: Any
    limits_of_task: EffectiveLimits
    remembered: bool = False
    """Whether Celery wants to know the ids of what succeeded (`worker_deduplicate_successful_tasks`)."""

    def __init__(self, message: Any, **options: Any) -> None:
        super().__init__(message, **options)
        self.taken: Taken = message.taken
        self.settled = False
        self.wait: float | None = None
        self._verdict: events.Event | None = None
        self._used = Used()
        self._logged: str | None = None
        header = self._request_dict.get("windrow")
        now = time.time()
        if not (isinstance(header, dict) and events.is_id(header.get("id"), now) and isinstance(header.get("t"), int | float)):
            header = {"v": events.VERSION, "id": events.new_id(now), "t": now}
            self.attempts.accept_stock(self.taken, message._raw, header, bool(getattr(self.task, "redact", False)))
            self._request_dict[TRACEPARENT] = message._raw["headers"][TRACEPARENT]
        self.execution: str = header["id"]
        self.attempt = events.new_id(now)
        self._ready_at = max(float(header.get("t") or now), self._eta.timestamp() if self._eta else 0.0)
        self._request_dict["windrow"] = {
            "v": events.VERSION,
            "id": self.execution,
            "t": header.get("t"),
            "attempt": self.attempt,
            "worker": self.attempts.worker,
            "tag": self.taken.tag,
            "early": self.early,
        }

    @property
    def early(self) -> bool:
        """True when the task is acknowledged before it runs: it must not run again if its worker dies."""
        return not self.task.acks_late

    # --- towards the pool ------------------------------------------------------------------------------------------------

    def execute_using_pool(self, pool: Any, **kwargs: Any) -> Any:
        """Give the call to a child, under the limits of message, task and queue."""
        given = self.time_limits
        limits = self.limits_of_task
        if given[0] or given[1]:
            task = Limits(self.task.soft_time_limit, self.task.time_limit)
            limits = effective_limits(Limits(given[1], given[0]), task, self.attempts.derived)
        self.time_limits = (limits.hard, limits.soft)
        self._request_dict["timelimit"] = [limits.hard, limits.soft]
        return super().execute_using_pool(pool, **kwargs)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Kill the child only while it runs this call: it may go on to the next one by itself."""
        job = self._apply_result() if self._apply_result is not None else None
        if not isinstance(job, Job) or not self.time_start:
            if isinstance(job, InProcessJob):
                job.measure()
            super().terminate(pool, signal)
            return
        with pool.standing_still(job) as runs:
            if runs:
                job.measure()
                super().terminate(pool, signal)

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """A child has taken it up."""
        super().on_accepted(pid, time_accepted)
        if self.settled:
            return
        self.wait = max(self.time_start - self._ready_at, 0.0)
        self.attempts.started(self)

    # --- what became of it -----------------------------------------------------------------------------------------------

    def on_success(self, failed__retval__runtime: Any, **kwargs: Any) -> None:
        """The body returned, or raised what the child could tell of."""
        failed, retval, runtime = failed__retval__runtime
        if failed:
            super().on_success(failed__retval__runtime, **kwargs)
            return
        task_ready(self, successful=self.remembered)
        shown = "***" if getattr(self.task, "redact", False) is True else retval
        self._settle(ended_event(self, "success", "success", run=runtime, result=shown))
        self.send_event("task-succeeded", result=retval, runtime=runtime)

    def on_retry(self, exc_info: Any) -> None:
        """The body asked for another attempt; the child has published it in this message's place."""
        retry = exc_info.exception
        if isinstance(retry, ExceptionWithTraceback):
            retry = retry.exc
        error, message = error_of(retry.exc) if retry.exc is not None else ("Retry", str(retry))
        event = ended_event(
            self, "retried", None, error=error, message=message, traceback=exc_info.traceback, due=_when(retry.when)
        )
        task_ready(self)
        self._settle(event)
        self.send_event("task-retried", exception=message, traceback=exc_info.traceback)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """A limit was reached; at the hard one the child is killed."""
        if not soft:
            self._verdict = ended_event(
                self,
                "timed_out",
                "timed_out",
                error="TimeLimitExceeded",
                message=f"the hard limit of {timeout:g} s was reached",
            )
        super().on_timeout(soft, timeout)
        if not soft:
            self.acknowledge()
            self.attempts.child_killed()

    def end_overdue(self, overdue: Overdue) -> None:
        """The process that ran this attempt was replaced, because it overran its hard limit: end it as timed out."""
        note = self.attempts.note_of(self.taken.tag)
        if note is not None:
            self.attempt, self.time_start = note["attempt"], note["t"]
        self._used = Used(peak=overdue.peak)
        self._logged = overdue.log
        self.on_timeout(False, overdue.limit)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> None:
        """The body raised, or its process died."""
        exception = exc_info.exception
        if isinstance(exception, ExceptionWithTraceback):
            exception = exception.exc
        if self.settled:
            task_ready(self)
            return
        if isinstance(exception, Retry):
            self.on_retry(exc_info)
            return
        if isinstance(exception, (WorkerLostError, SystemExit, KeyboardInterrupt)) and not self._already_revoked:
            self._process_died(exception)
            return
        if not isinstance(exception, Terminated):
            self._verdict = self._judge(exception, exc_info)
        try:
            super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)
        finally:  # Celery raises again what ended a child for want of memory
            if not isinstance(exception, Terminated):
                self.acknowledge()

    def _judge(self, exception: Any, exc_info: Any) -> events.Event:
        error, message = error_of(exception)
        if isinstance(exception, Replaced):
            return ended_event(self, "success", exception.state, reason=exception.reason)
        if isinstance(exception, Ignore):
            return ended_event(self, "success", "success", reason="ignored: the task raised Ignore")
        if isinstance(exception, Reject):
            if exception.requeue:
                return ended_event(self, "handed_back", "ready", reason=f"the task rejected it: {exception.reason}")
            return ended_event(self, "failed", "rejected", error=error, message=message, reason=str(exception.reason))
        timed_out = isinstance(exception, SoftTimeLimitExceeded) or error in ("SoftTimeLimitExceeded", "TimeLimitExceeded")
        outcome = "timed_out" if timed_out else "failed"
        return ended_event(self, outcome, outcome, error=error, message=message, traceback=exc_info.traceback)

    def _process_died(self, exception: BaseException) -> None:
        if self._has_succeeded():
            task_ready(self, successful=True)
            self._settle(ended_event(self, "success", "success", reason="its process died after its result was stored"))
            return
        task_ready(self)
        if not self.time_start:
            self._settled_by(lambda: self.attempts.given_back(self, None))
            return
        message = str(exception) or type(exception).__name__
        back = ended_event(self, "killed", "ready", error="WorkerLostError", message=message, reason="its process died")
        reason = "acknowledged early, and its process died" if self.early else "its process died too often"
        lost = {**back, "state": "lost", "reason": reason}
        self._settled_by(lambda: self.attempts.killed(self, back, lost))

    def _has_succeeded(self) -> bool:
        """Whether this very attempt stored its result as a success; a chord's part is counted after that, so it is repeated."""
        if self._ignore_result or self._context.chord:
            return False
        stored = self._success_was_stored()
        return bool(stored) and stored.get(ATTEMPT, self.attempt) == self.attempt

    def say_lost(self, count: int) -> None:
        """Past the most recoveries: tell whoever waits for the result."""
        error = WorkerLostError(f"lost: its process died {count} times (maxRecoveries is {self.attempts.max_recoveries})")
        self.task.backend.mark_as_failure(self.id, error, request=self._context, store_result=self.store_errors)
        signals.task_failure.send(
            sender=self.task, task_id=self.id, exception=error, args=self.args, kwargs=self.kwargs, traceback=None, einfo=None
        )

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        state = "expired" if expired else "cancelled"
        self._verdict = ended_event(self, "killed" if terminated else None, state, reason=reason)
        super()._announce_revoked(reason, terminated, signum, expired)

    # --- the message's end -----------------------------------------------------------------------------------------------

    def acknowledge(self) -> None:
        """End the message's stay, with the verdict as its record; without one (an early acknowledgement) it stays in flight."""
        if self._verdict is not None:
            self._settle(self._verdict)

    def reject(self, requeue: bool = False) -> None:
        """Give the message back, or end it for good."""
        verdict = self._verdict or ended_event(self, "failed", "rejected", reason="rejected")
        if requeue:
            self._settled_by(lambda: self.attempts.given_back(self, verdict))
        else:
            self._settle(verdict)

    def hand_back(self) -> None:
        """Put the message back first in line; no attempt was made."""
        task_ready(self)
        self._settled_by(lambda: self.attempts.given_back(self, None))

    def park(self, due: float, reason: str) -> None:
        """Put the message back until `due` (seconds since 1970); no attempt was made."""
        event = {
            "k": events.MOVED, "id": self.execution, "t": time.time(), "state": "delayed", "due": due, "reason": reason,
            "queue": self.taken.queue, "task": self.name,
        }  # fmt: skip
        self._settled_by(lambda: self.attempts.parked(self, due, event))

    def _settle(self, event: events.Event) -> None:
        self._settled_by(lambda: self.attempts.ended(self, event))

    def _settled_by(self, tell: Any) -> None:
        if not self.settled:
            self.settled = True
            self.acknowledged = True
            tell()

    # --- what is known of it --------------------------------------------------------------------------------------------

    @property
    def used(self) -> Used:
        """What the attempt used, as far as the pool knows by now."""
        job = self._apply_result() if self._apply_result is not None else None
        used: Used = self._used if job is None else job.used
        return used

    @property
    def log(self) -> str | None:
        """The end of what the attempt has logged, if that may be kept."""
        job = self._apply_result() if self._apply_result is not None else None
        text: str | None = self._logged if job is None else job.log
        return text if text and keeps_log(self.task, self._request_dict) else None

    @property
    def promptness(self) -> events.Event:
        """Whether the attempt started late, where its queue's spec says how soon it should."""
        within = self.attempts.derived.start_within_s
        return {} if within is None or self.wait is None else {"late": self.wait > within}


def _when(when: Any) -> float | None:
    """When a retry is due: Celery gives a number of seconds from now, a datetime, or nothing."""
    if isinstance(when, (int, float)):
        return time.time() + when
    if isinstance(when, datetime):
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    return None
