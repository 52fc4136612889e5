"""What a worker does with a task's message: Celery's strategy, with delays and rate limits kept in Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.utils.imports import symbol_by_name
from celery.worker import strategy as stock
from celery.worker.state import task_reserved
from kombu.utils.json import object_hook

from windrow.queues.derive import Limits, effective_limits
from windrow.worker.request import Reporting

TOO_EARLY_SECONDS = 0.05


_decode = json.JSONDecoder(object_hook=object_hook).decode


def _payload(message: Any) -> Any:
    """The decoded body, which a body that can be run must have; `message.payload` makes a new decoder each time."""
    plain = (
        message.content_type == "application/json" and message.content_encoding == "utf-8" and isinstance(message.body, bytes)
    )
    if plain and message.content_type in (message.accept or ()):
        return _decode(message.body.decode())
    return message.payload


def _received(request: Any) -> dict[str, Any]:
    """What a monitor is told of a task that has come, as Celery tells it."""
    return {
        "name": request.name, "args": request.argsrepr, "kwargs": request.kwargsrepr,
        "root_id": request.root_id, "parent_id": request.parent_id, "retries": request.request_dict.get("retries") or 0,
        "eta": request.eta and request.eta.isoformat(), "expires": request.expires and request.expires.isoformat(),
    }  # fmt: skip


def default(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """The strategy of every task; Celery's own where a stock worker runs the app."""
    session = getattr(consumer.controller, "windrow", None)
    if session is None:
        return stock.default(task, app, consumer, **options)  # type: ignore[no-any-return]
    limits = effective_limits(Limits(), Limits(task.soft_time_limit, task.time_limit), session.derived)
    base = symbol_by_name(task.Request)
    bases = (Reporting,) if issubclass(Reporting, base) else (Reporting, base)
    request_class = type(
        "Request",
        bases,
        {
            "attempts": session.attempts,
            "limits_of_task": limits,
            "remembered": bool(app.conf.worker_deduplicate_successful_tasks),
        },
    )
    hostname, eventer = consumer.hostname, consumer.event_dispatcher
    connection_errors = consumer.connection_errors
    revoked = consumer.controller.state.revoked
    buckets = {} if consumer.disable_rate_limits else consumer.task_buckets
    handle = consumer.on_task_request
    next_start = 0.0
    utc = app.uses_utc_timezone()

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        nonlocal next_start
        payload = _payload(message)
        if body is None and "args" not in payload:
            body, headers, decoded, in_utc = message.body, message.headers, False, utc
        elif "args" in payload:
            body, headers, decoded, in_utc = stock.hybrid_to_proto2(message, payload)
        else:
            body, headers, decoded, in_utc = stock.proto1_to_proto2(message, body)
        request = request_class(
            message, on_ack=ack, on_reject=reject, app=app, hostname=hostname, eventer=eventer, task=task,
            connection_errors=connection_errors, body=body, headers=headers, decoded=decoded, utc=in_utc,
        )  # fmt: skip
        if session.overdue and message.taken.tag in session.overdue:
            request.end_overdue(session.overdue.pop(message.taken.tag))
            return
        if (request.expires or request.id in revoked or request.stamped_headers) and request.revoked():
            return
        signals.task_received.send(sender=consumer, request=request)
        if eventer is not None:
            request.send_event("task-received", **_received(request))
        if request.eta is not None:
            due = request.eta.timestamp()
            if due > time.time() + TOO_EARLY_SECONDS:
                request.park(due, "eta")
                return
        bucket = buckets.get(task.name)
        if bucket is not None and not bucket.can_consume(1):
            # Each of those held back gets a turn of its own, so that they don't all come again at the same moment.
            now = time.time()
            next_start = max(next_start, now) + 1 / bucket.fill_rate
            request.park(next_start, "rate_limited")
            return
        task_reserved(request)
        for callback in callbacks or ():
            callback(request)
        handle(request)

    return on_message
