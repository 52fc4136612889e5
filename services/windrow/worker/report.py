"""Events about attempts: what Celery knows of one, in the words of docs/keys-and-events.md. No I/O."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from windrow import __version__
from windrow.broker import events
from windrow.broker.inflight import Taken
from windrow.broker.publication import MOST_MESSAGE, MOST_TEXT

if TYPE_CHECKING:
    from windrow.worker.request import Reporting

MOST_ERROR = 4096
MOST_TRACEBACK = 16384


def ended_event(
    request: Reporting,
    outcome: str | None,
    state: str | None,
    *,
    run: float | None = None,
    error: str | None = None,
    message: str | None = None,
    traceback: str | None = None,
    result: str | None = None,
    reason: str | None = None,
    due: float | None = None,
) -> events.Event:
    """The `ended` event of a request; without a start there was no attempt."""
    now = time.time()
    started = request.time_start
    log = request.log if started else None
    if started and run is None:
        run = max(now - started, 0.0)
    return {
        "k": events.ENDED,
        "id": request.execution,
        "t": now,
        "attempt": request.attempt if started else None,
        "outcome": outcome if started else None,
        "state": state,
        "queue": request.taken.queue,
        "task": request.name,
        "worker": request.attempts.worker,
        "pid": request.worker_pid,
        "version": __version__ if started else None,
        "retries": request.request_dict.get("retries") or 0,
        "nesting": request.request_dict.get("replaced_task_nesting") or 0,
        "started": started,
        "run": run,
        "wait": request.wait if started else None,
        **(request.used.told if started else {}),
        **(request.promptness if started else {}),
        "error": error,
        "message": message[:MOST_ERROR] if message else message,
        "traceback": traceback[-MOST_TRACEBACK:] if traceback else traceback,
        "result": result[:MOST_TEXT] if result else result,
        "reason": reason,
        "due": due,
        **({"log": log} if log else {}),
    }


def started_note(request: Reporting) -> events.Event:
    """What recovery needs to know of a running attempt."""
    return {
        "id": request.execution, "attempt": request.attempt, "queue": request.taken.queue, "task": request.name,
        "t": request.time_start, "early": request.early,
    }  # fmt: skip


def started_event(request: Reporting) -> events.Event:
    """The `started` event."""
    return {
        "k": events.STARTED, "id": request.execution, "t": request.time_start, "attempt": request.attempt,
        "queue": request.taken.queue, "task": request.name, "worker": request.attempts.worker, "pid": request.worker_pid,
        "retries": request.request_dict.get("retries") or 0,
        "nesting": request.request_dict.get("replaced_task_nesting") or 0, "wait": request.wait, "early": request.early,
        "version": __version__, **request.promptness,
    }  # fmt: skip


def rejected_event(taken: Taken, reason: str, worker: str) -> events.Event:
    """The event of a message that is no task: its record is made from this alone."""
    headers, properties = _readable(taken.message)
    header = headers.get("windrow")
    now = time.time()
    known = header.get("id") if isinstance(header, dict) and events.is_id(header.get("id"), now) else None
    keep = len(taken.message) <= MOST_MESSAGE and headers.get("windrow_keep", True)
    return {
        "k": events.ENDED,
        "id": known or events.new_id(now),
        "t": now,
        "attempt": None,
        "outcome": None,
        "state": "rejected",
        "queue": taken.queue,
        "task": str(headers.get("task") or "")[:MOST_TEXT],
        "worker": worker,
        "reason": reason[:MOST_ERROR],
        "task_id": str(headers.get("id") or uuid.uuid4()),
        "tag": str(properties.get("delivery_tag") or ""),
        "args": str(headers.get("argsrepr") or "")[:MOST_TEXT],
        "kwargs": str(headers.get("kwargsrepr") or "")[:MOST_TEXT],
        "body": taken.message.decode("utf-8", "replace") if keep else None,
    }


def _readable(message: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The headers and properties of a message that may be anything."""
    if len(message) > 2 * MOST_MESSAGE:
        return {}, {}
    try:
        raw = json.loads(message)
        headers, properties = raw.get("headers"), raw.get("properties")
    except (ValueError, AttributeError, RecursionError):
        return {}, {}
    return (headers if isinstance(headers, dict) else {}), (properties if isinstance(properties, dict) else {})


def error_of(exception: Any) -> tuple[str, str]:
    """The class name and the text of an exception, as the child sent it."""
    name = getattr(exception, "exc_cls_name", None) or type(exception).__name__
    return str(name), str(exception)
