"""OpenTelemetry spans of publishing and processing, in a process that has set OpenTelemetry up.

Names and attributes are those of its conventions for messaging. Nothing here imports OpenTelemetry before somebody else has;
where its own instrumentation of Celery is active, that makes the spans, and a message's trace is taken from what it has put in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from celery import signals

from windrow import __version__
from windrow.authoring.attempt import Attempt, current_attempt
from windrow.broker.trace import TRACEPARENT, TRACESTATE, begun, continued

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Tracer

SYSTEM = "celery"
_ON_REQUEST = "_windrow_span"
_FROM_ENV = "OTEL_PYTHON_TRACER_PROVIDER" in os.environ

_own: tuple[Any, Any] = (None, None)


def tracer() -> Tracer | None:
    """What makes this process's spans; None where OpenTelemetry is not set up, or another instrumentation makes them."""
    global _own
    api: Any = sys.modules.get("opentelemetry.trace")
    if api is None or (getattr(api, "_TRACER_PROVIDER", api) is None and not _FROM_ENV):
        return None  # the public question takes longer than all else that publishing a trace's context does
    provider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider):
        return None
    other: Any = sys.modules.get("opentelemetry.instrumentation.celery")
    if other is not None and other.CeleryInstrumentor().is_instrumented_by_opentelemetry:
        return None
    if _own[0] is not provider:
        _own = (provider, api.get_tracer("windrow", __version__))
    found: Tracer = _own[1]
    return found


@contextmanager
def publishing(
    tracer: Tracer, name: str, task_id: str, destination: Callable[[], str | None], headers: dict[str, Any]
) -> Iterator[None]:
    """The span of a call's publication; its context is put into `headers`, over what a retry has from its last attempt."""
    from opentelemetry import propagate, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    attempt = current_attempt()
    parent = None
    given = headers.get(TRACEPARENT)
    if given is not None and (attempt is None or given != attempt.traceparent):
        parent = _context(headers)
    elif not trace.get_current_span().get_span_context().is_valid and attempt is not None:
        parent = _context({TRACEPARENT: _of(attempt), TRACESTATE: attempt.tracestate})
    attributes: dict[str, Any] = {
        "messaging.system": SYSTEM, "messaging.operation.name": "publish", "messaging.operation.type": "send",
        "messaging.message.id": task_id, "celery.task_name": name,
    }  # fmt: skip
    queue = destination()
    if queue:
        attributes["messaging.destination.name"] = queue
    kind = trace.SpanKind.PRODUCER
    with tracer.start_as_current_span(f"{name} publish", parent, kind, attributes):
        for stale in (TRACEPARENT, TRACESTATE):
            headers.pop(stale, None)
        propagate.inject(headers)
        TraceContextTextMapPropagator().inject(headers)
        yield


def trace_tasks() -> None:
    """Have each task that a worker runs here be a span, if OpenTelemetry is set up by now, or is when a child begins."""
    _connect()
    for moment in (signals.worker_init, signals.worker_process_init):
        moment.connect(_connect, weak=False, dispatch_uid="windrow.tracing")


def _connect(**_: Any) -> None:
    if tracer() is not None:
        signals.task_prerun.connect(_begin, weak=False, dispatch_uid="windrow.tracing")
        signals.task_postrun.connect(_end, weak=False, dispatch_uid="windrow.tracing")
        signals.worker_process_shutdown.connect(_flush, weak=False, dispatch_uid="windrow.tracing")


def _begin(task: Any = None, **_: Any) -> None:
    makes = tracer()
    attempt = current_attempt(task)
    if makes is None or attempt is None:
        return
    from opentelemetry import context, propagate, trace

    request = task.request
    carrier = {name: getattr(request, name, None) for name in propagate.get_global_textmap().fields}
    carrier |= {TRACEPARENT: attempt.traceparent or begun(attempt.execution_id), TRACESTATE: attempt.tracestate}
    parent = _context(carrier)
    attributes: dict[str, Any] = {
        "messaging.system": SYSTEM, "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.message.id": attempt.task_id, "celery.task_name": attempt.task, "windrow.execution_id": attempt.execution_id,
        "windrow.retries": request.retries or 0,
    }  # fmt: skip
    if attempt.queue:
        attributes["messaging.destination.name"] = attempt.queue
    if attempt.attempt_id:
        attributes["windrow.attempt"] = attempt.attempt_id
    span = makes.start_span(f"{attempt.task} process", parent, trace.SpanKind.CONSUMER, attributes)
    setattr(request, _ON_REQUEST, (span, context.attach(trace.set_span_in_context(span, parent))))


def _end(task: Any = None, state: str | None = None, retval: Any = None, **_: Any) -> None:
    span, token = getattr(task.request, _ON_REQUEST, None) or (None, None)
    if span is None or token is None:
        return
    from opentelemetry import context
    from opentelemetry.trace import Status, StatusCode

    delattr(task.request, _ON_REQUEST)
    if state:
        span.set_attribute("celery.state", state)
    if isinstance(retval, BaseException) and state == "FAILURE":
        span.record_exception(retval)
        span.set_attribute("error.type", type(retval).__qualname__)
        span.set_status(Status(StatusCode.ERROR, str(retval)))
    context.detach(token)
    span.end()


def _flush(**_: Any) -> None:
    """A child ends without its interpreter's end: what is still to be sent would be lost."""
    api: Any = sys.modules.get("opentelemetry.trace")
    flush = getattr(api.get_tracer_provider(), "force_flush", None) if api is not None else None
    if flush is not None:
        flush(2_000)


def _of(attempt: Attempt) -> str:
    return continued(attempt.traceparent, attempt.execution_id, attempt.attempt_id or attempt.execution_id)


def _context(carrier: dict[str, Any]) -> Context:
    """The context in a message's headers: what the process's propagators find, and its W3C trace context."""
    from opentelemetry import propagate
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    texts = {name: value for name, value in carrier.items() if isinstance(value, str)}
    return TraceContextTextMapPropagator().extract(texts, propagate.extract(texts))
