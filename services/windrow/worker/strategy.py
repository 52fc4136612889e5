"""What a worker does with a task's message: Celery's strategy, with delays and rate limits kept in Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from celery import signals
from celery.utils.imports import symbol_by_name
from celery.worker import strategy as stock
from celery.worker.state import task_reserved

from windrow.queues.derive import Limits, effective_limits
from windrow.worker.request import Reporting

TOO_EARLY_SECONDS = 0.05


def default(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """The strategy of every task; Celery's own where a stock worker runs the app."""
    session = getattr(consumer.controller, "windrow", None)
    if session is None:
        return stock.default(task, app, consumer, **options)  # type: ignore[no-any-return]
    limits = effective_limits(Limits(), Limits(task.soft_time_limit, task.time_limit), session.derived)
    base = symbol_by_name(task.Request)
    bases = (Reporting,) if issubclass(Reporting, base) else (Reporting, base)
    request_class = type("Request", bases, {"session": session, "limits_of_task": limits})
    hostname, eventer = consumer.hostname, consumer.event_dispatcher
    connection_errors = consumer.connection_errors
    revoked = consumer.controller.state.revoked
    buckets = {} if consumer.disable_rate_limits else consumer.task_buckets
    handle = consumer.on_task_request
    next_start = 0.0

    def on_message(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any) -> None:
        nonlocal next_start
        if body is None and "args" not in message.payload:
            body, headers, decoded, utc = message.body, message.headers, False, app.uses_utc_timezone()
        elif "args" in message.payload:
            body, headers, decoded, utc = stock.hybrid_to_proto2(message, message.payload)
        else:
            body, headers, decoded, utc = stock.proto1_to_proto2(message, body)
        request = request_class(
            message, on_ack=ack, on_reject=reject, app=app, hostname=hostname, eventer=eventer, task=task,
            connection_errors=connection_errors, body=body, headers=headers, decoded=decoded, utc=utc,
        )  # fmt: skip
        if session.overdue and message.taken.tag in session.overdue:
            request.end_overdue(session.overdue.pop(message.taken.tag))
            return
        if (request.expires or request.id in revoked or request.stamped_headers) and request.revoked():
            return
        signals.task_received.send(sender=consumer, request=request)
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
