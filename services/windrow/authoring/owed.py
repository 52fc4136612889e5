"""What an attempt owes: what follows it in a canvas is published once, however often the attempt is repeated.

Next steps, callbacks, errbacks and chord bodies are published by the process that ran their predecessor, before the
predecessor's message is acknowledged: a kill in between repeats them. So each is published under the name of its owner (the
predecessor's execution, or the chord's group), and `publish.lua` refuses what that owner has published before. For that a
repeated attempt must give the same task ids: those that Celery makes while it publishes follow from the owner and their order.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from celery import canvas
from celery._state import get_current_task
from celery.app.amqp import _callback_publish_retry
from celery.backends.base import Backend
from kombu.utils.uuid import uuid

from windrow.authoring.attempt import current_attempt

_NAMESPACE = UUID("6f1d1f3c-6d0b-5a55-9c2e-0d4b1d5b7c11")
_ON_REQUEST = "_windrow_debt"


@dataclass(slots=True)
class Debt:
    """One owner's debt; `made` counts the ids made for it."""

    owner: str
    seconds: int | None = None
    """How long it is remembered what was published; None: as long as for an execution."""
    made: int = 0

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of Windrow's header of a call that is owed."""
        return {"once": self.owner} if self.seconds is None else {"once": self.owner, "for": self.seconds}

    def next_id(self) -> str:
        """The next id, the same in each repetition."""
        self.made += 1
        return str(uuid5(_NAMESPACE, f"{self.owner}/{self.made}"))


_paying: ContextVar[Debt | None] = ContextVar("windrow_debt", default=None)


@contextmanager
def owed_by(owner: str, seconds: int | None = None) -> Iterator[None]:
    """What is published here is owed by `owner`."""
    token = _paying.set(Debt(owner, seconds))
    try:
        yield
    finally:
        _paying.reset(token)


def current_debt() -> Debt | None:
    """The debt that the call being published belongs to; None when somebody's own code publishes it."""
    paying, following = _paying.get(), _callback_publish_retry.get()
    if paying is None and not following:
        return None
    task = get_current_task()
    if task is not None and task.request.called_directly:
        return None  # an errback that Celery calls as a function: what it publishes is its own
    if paying is not None:
        return paying
    attempt = current_attempt()
    if task is None or attempt is None:
        return None
    request = task.request
    debt: Debt | None = getattr(request, _ON_REQUEST, None)
    if debt is None:
        debt = Debt(attempt.execution_id)
        setattr(request, _ON_REQUEST, debt)
    return debt


def fresh_id() -> str:
    """A new task id; the same in each repetition for what is owed."""
    debt = current_debt()
    return str(uuid()) if debt is None else debt.next_id()


def publish_once() -> None:
    """Have Celery's canvas make its ids here, and its backends publish errbacks as what is owed; once in a process."""
    if canvas.uuid is not fresh_id:
        canvas.uuid = fresh_id
        Backend._call_task_errbacks = _owing(Backend._call_task_errbacks)


def _owing(call_errbacks: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call_errbacks)
    def _call_task_errbacks(self: Any, request: Any, exc: Any, traceback: Any) -> Any:
        owner = owner_of(request)
        with owed_by(owner) if owner else nullcontext():
            return call_errbacks(self, request, exc, traceback)

    return _call_task_errbacks


def owner_of(request: Any) -> str | None:
    """The execution that a request (Celery's, of a worker or a child) belongs to."""
    header = getattr(request, "windrow", None)
    return str(header["id"]) if isinstance(header, dict) and isinstance(header.get("id"), str) else None
