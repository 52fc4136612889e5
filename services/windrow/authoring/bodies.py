"""The function that Celery calls for a task: it runs coroutines, fills in `execution_id`, and stops at the fence.

When a body has ended, and before Celery makes anything of it (a result, a retry, the next step), the worker's lease must hold:
else others have begun the same task again, and the process ends here.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from celery._state import get_current_task

from windrow.authoring.attempt import current_attempt
from windrow.authoring.loop import run_async
from windrow.authoring.parameters import ExecutionIdParameter, signature_of
from windrow.broker.fence import pass_or_end

_BODIES = "__windrow_bodies__"
_ASYNC = "__windrow_async__"


def body_of(fun: Callable[..., Any], *, bound: bool) -> Callable[..., Any]:
    """`fun` as Celery is to call it: a function around it with the same name, signature and documentation.

    It stands inside Celery's automatic retry. The same function gives the same body, since Celery tells tasks apart by it.
    """
    if hasattr(fun, _BODIES) and getattr(fun, _BODIES) is None:
        return fun  # a body already
    asynchronous = is_async(fun)
    parameter = ExecutionIdParameter.of(fun, bound=bound)
    made: dict[bool, Callable[..., Any]] = fun.__dict__.setdefault(_BODIES, {}) if hasattr(fun, "__dict__") else {}
    if bound not in made:
        made[bound] = _around(fun, bound, asynchronous, parameter)
    return made[bound]


def runs_coroutine(task: Any) -> bool:
    """Whether a task's body is a coroutine; under Celery's automatic retry too, which copies the body's attributes."""
    return bool(getattr(task.run, _ASYNC, False))


def is_async(fun: Callable[..., Any]) -> bool:
    """Whether `fun` is an async function, under decorators too."""
    return inspect.iscoroutinefunction(fun) or inspect.iscoroutinefunction(inspect.unwrap(fun))


def _around(
    fun: Callable[..., Any], bound: bool, asynchronous: bool, parameter: ExecutionIdParameter | None
) -> Callable[..., Any]:
    @functools.wraps(fun)
    def plain(*args: Any, **kwargs: Any) -> Any:
        try:
            return fun(*args, **kwargs)
        finally:
            pass_or_end()

    @functools.wraps(fun)
    def full(*args: Any, **kwargs: Any) -> Any:
        try:
            return run(*args, **kwargs)
        finally:
            pass_or_end()

    def run(*args: Any, **kwargs: Any) -> Any:
        if parameter is not None:
            task = args[0] if bound else get_current_task()
            # Called past Celery (`other.run(…)` in a task), the current task is somebody else.
            if bound or getattr(task, "_decorated_fun", None) is body:
                attempt = current_attempt(task)
                if attempt is not None:
                    head = args[:1] if bound else ()
                    rest, kwargs = parameter.filled(args[len(head) :], kwargs, attempt.execution_id)  # type: ignore[assignment]
                    args = (*head, *rest)
        value = fun(*args, **kwargs)
        # A decorator may have run the coroutine already.
        if asynchronous and inspect.isawaitable(value):
            return run_async(value if inspect.iscoroutine(value) else _awaited(value))
        return value

    body: Callable[..., Any] = full if asynchronous or parameter is not None else plain
    # Celery checks the arguments of a call against the signature of the function it was given, decorated or not.
    body.__signature__ = signature_of(fun, follow_wrapped=False)  # type: ignore[attr-defined]
    setattr(body, _BODIES, None)
    setattr(body, _ASYNC, asynchronous)
    return body


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value
