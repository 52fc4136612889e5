"""Which attempt of which execution the running code belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from celery._state import get_current_worker_task

from windrow.broker.trace import TRACEPARENT, TRACESTATE, trace_of


@dataclass(frozen=True)
class Attempt:
    """One run of an execution on a worker, as the worker says in the request's header `windrow`."""

    execution_id: str
    attempt_id: str | None
    task_id: str
    queue: str | None
    task: str
    traceparent: str | None = None
    tracestate: str | None = None
    """The W3C trace context of its message, as it came."""

    @property
    def trace_id(self) -> str:
        """The trace it belongs to; a message without one begins one of the execution's id."""
        return trace_of(self.traceparent) or self.execution_id.replace("-", "")


def current_attempt(task: Any = None) -> Attempt | None:
    """The attempt of `task`'s current request, of the task that a worker runs here when none is given.

    None outside a worker: in `apply()`, in a direct call, in a worker that is not Windrow's.
    """
    if task is None:
        task = get_current_worker_task()
        if task is None:
            return None
    request = task.request
    if request.called_directly or request.is_eager:
        return None
    header = getattr(request, "windrow", None)
    if not isinstance(header, dict) or not isinstance(header.get("id"), str):
        return None
    info = request.delivery_info or {}
    attempt = header.get("attempt")
    return Attempt(
        execution_id=header["id"],
        attempt_id=str(attempt) if attempt else None,
        task_id=str(request.id),
        queue=header.get("queue") or info.get("routing_key"),
        task=str(task.name),
        traceparent=getattr(request, TRACEPARENT, None),
        tracestate=getattr(request, TRACESTATE, None),
    )
