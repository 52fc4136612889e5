"""`windrow.task`: Celery's `shared_task`, for async functions too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import shared_task

from windrow.authoring.bodies import body_of


def task(*args: Any, **options: Any) -> Any:
    """Make a task of a function, sync or async, for whatever Celery app is current when it is called.

    Takes every option of Celery's `shared_task` and `app.task`: `@task`, `@task()` or `@task(bind=True, max_retries=3, …)`.
    """
    if len(args) == 1 and callable(args[0]):
        return _shared(args[0], options)
    if args:
        raise TypeError(f"task must be given a function, or options by name, not {args[0]!r}")
    return lambda fun: _shared(fun, options)


def _shared(fun: Callable[..., Any], options: dict[str, Any]) -> Any:
    return shared_task(**options)(body_of(fun, bound=bool(options.get("bind"))))
