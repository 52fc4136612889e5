"""The task by which an app's own worker tells Celery that a task was lost with its process (see `windrow.broker.untold`)."""

from __future__ import annotations

import base64
from typing import Any

from billiard.exceptions import WorkerLostError
from celery import signals, states
from celery.app.task import Context
from celery.result import allow_join_result
from kombu.message import Message

from windrow.broker.untold import TASK

FIELDS = ("callbacks", "errbacks", "chain", "chord")


def register(app: Any) -> None:
    """Give an app the task, once."""
    if TASK not in app._tasks:
        app._task_from_fun(tell, name=TASK, bind=True, ignore_result=True, acks_late=True, max_retries=None)


def tell(self: Any, reason: str, message: dict[str, Any]) -> None:
    """Store the lost task's failure, call its errbacks and count its part of a chord, as the worker that ran it would have."""
    headers = message["headers"]
    args, kwargs, embedded = _read(message)
    request = Context({**headers, **embedded, "args": args, "kwargs": kwargs})
    backend, error = self.app.backend, WorkerLostError(f"lost: {reason}")
    with allow_join_result():
        stored = backend.get_task_meta(headers["id"], cache=False)
    if stored["status"] == states.SUCCESS:  # it died after that; its next steps had been published before
        backend.mark_as_done(headers["id"], stored["result"], request=request, store_result=False)
        return
    backend.mark_as_failure(headers["id"], error, request=request, store_result=not headers.get("ignore_result"))
    task = self.app.tasks.get(headers["task"])
    signals.task_failure.send(
        sender=task, task_id=headers["id"], exception=error, args=args, kwargs=kwargs, traceback=None, einfo=None
    )


def _read(message: dict[str, Any]) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    decoded = Message(
        body=base64.b64decode(message["body"]),
        content_type=message["content-type"],
        content_encoding=message["content-encoding"],
        headers=message["headers"],
        accept={"application/json"},
    ).decode()
    args, kwargs, embedded = decoded
    return args, kwargs, {name: embedded.get(name) for name in FIELDS}
