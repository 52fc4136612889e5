"""A canvas step's result goes past `execution_id`, to the parameter after it."""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

from celery.app.amqp import _callback_publish_retry
from celery.canvas import Signature, _chain, _chord

_given: ContextVar[tuple[Any, ...] | None] = ContextVar("windrow_eager_canvas", default=None)
"""What the caller gave to a canvas that is applied in this process; None outside one."""


def hand_results_past_execution_id() -> None:
    """Teach Celery's signatures, once in a process, where a result goes in a task that takes `execution_id`.

    Celery puts the result of a step before the arguments of the next; it marks the time in which it publishes next steps. Only
    then, and in a canvas that is applied, the result is put elsewhere, and only for tasks of Windrow apps. Arguments that a
    caller gives stay where they are.
    """
    if hasattr(Signature._merge, "__wrapped__"):
        return
    Signature._merge = _merging(Signature._merge)
    _chain.apply = _applying(_chain.apply)
    _chord.apply = _applying(_chord.apply)


def leave_canvas() -> Any:
    """Code of a task's own runs from here on, not the canvas around it; give the answer to `return_to_canvas`."""
    return _given.set(None)


def return_to_canvas(token: Any) -> None:
    """The task's own code has ended."""
    _given.reset(token)


def _merging(merge: Any) -> Any:
    @functools.wraps(merge)
    def _merge(self: Any, args: Any = None, kwargs: Any = None, options: Any = None, force: bool = False) -> Any:
        merged = merge(self, args, kwargs, options, force)
        if not args or (self.immutable and not force) or not _is_result(args):
            return merged
        parameter = getattr(_task_of(self), "execution_id_parameter", None)
        if parameter is None:
            return merged
        placed, named = parameter.handed_on(tuple(args), tuple(self.args), merged[1])
        return placed, dict(named), merged[2]

    return _merge


def _applying(apply: Any) -> Any:
    @functools.wraps(apply)
    def applied(self: Any, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        given = tuple(args) if args else ()
        token = _given.set(given)
        try:
            return apply(self, given, kwargs, **options)
        finally:
            _given.reset(token)

    return applied


def _is_result(args: Any) -> bool:
    """Whether Celery hands on a result here, not a caller arguments."""
    given = _given.get()
    return bool(_callback_publish_retry.get()) or (given is not None and args is not given)


def _task_of(signature: Any) -> Any:
    try:
        return signature.type
    except KeyError:
        return None  # a task that this process doesn't know
