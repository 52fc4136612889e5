"""A chain's result goes past `execution_id`, to the parameter after it."""

from __future__ import annotations

import functools
from typing import Any

from celery.app.amqp import _callback_publish_retry
from celery.canvas import Signature


def hand_results_past_execution_id() -> None:
    """Teach Celery's signatures, once in a process, where a result goes in a task that takes `execution_id`.

    Celery puts the result of a step before the arguments of the next; it marks the time in which it publishes next steps. Only
    then, and only for tasks of Windrow apps, the result is put elsewhere; arguments that a caller gives stay where they are.
    """
    merge = Signature._merge
    if getattr(merge, "_windrow", False):
        return

    @functools.wraps(merge)
    def _merge(self: Any, args: Any = None, kwargs: Any = None, options: Any = None, force: bool = False) -> Any:
        merged = merge(self, args, kwargs, options, force)
        if not args or (self.immutable and not force) or not _callback_publish_retry.get():
            return merged
        parameter = getattr(_task_of(self), "execution_id_parameter", None)
        if parameter is None:
            return merged
        placed, named = parameter.handed_on(tuple(args), tuple(self.args), merged[1])
        return placed, dict(named), merged[2]

    _merge._windrow = True  # type: ignore[attr-defined]
    Signature._merge = _merge


def _task_of(signature: Any) -> Any:
    try:
        return signature.type
    except KeyError:
        return None  # a task that this process doesn't know
