"""Celery's "current task" inside a coroutine.

Celery keeps the current task, and each task's current request, in stacks of the running thread. A coroutine runs on another
thread than the task that waits for it, together with other coroutines. So the stacks' owner is asked from a context variable
first: each call has an owner of its own, with copies of its caller's stacks, and asyncio hands the variable on to whatever the
coroutine starts (`create_task`, `to_thread`).
"""

from __future__ import annotations

from contextvars import Context, ContextVar
from typing import Any

from celery._state import _task_stack
from celery.utils.threads import get_ident

_owner: ContextVar[object | None] = ContextVar("windrow_stack_owner", default=None)


def _current_owner() -> object:
    owner = _owner.get()
    return get_ident() if owner is None else owner


class CarriedStacks:
    """The caller's stacks, for the time that a coroutine runs for it."""

    __slots__ = ("_storages",)

    def __init__(self, context: Context) -> None:
        """Copy the stacks of the running thread (or coroutine) into `context`; nothing happens outside a task."""
        self._storages: list[dict[object, Any]] = []
        stacks = [_task_stack, *(task.request_stack for task in _task_stack.stack)]
        if len(stacks) == 1:
            return
        context.run(_owner.set, self)
        for stack in stacks:
            entries = list(stack.stack)
            storage = _storage(stack)
            if storage is not None and entries:
                storage[self] = {"stack": entries}
                self._storages.append(storage)

    def drop(self) -> None:
        """Forget the copies: what the coroutine left running is no part of a task any more."""
        for storage in self._storages:
            storage.pop(self, None)


def own_stacks(context: Context, holder: object, task: Any) -> None:
    """Give what runs in `context` stacks of its own, for as long as Celery keeps something on them; `task` is what it runs."""
    context.run(_owner.set, holder)
    _storage(_task_stack)
    _storage(task.request_stack)


def _storage(stack: Any) -> dict[object, Any] | None:
    """The stack's entries by owner, or None for the thread-local kind that Celery uses when USE_FAST_LOCALS is set."""
    local = getattr(stack, "_local", None)
    if local is None:
        return None
    if local.__ident_func__ is not _current_owner:
        stack.__ident_func__ = _current_owner
    storage: dict[object, Any] = local.__storage__
    return storage
