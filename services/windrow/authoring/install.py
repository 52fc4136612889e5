"""Make any Celery app a Windrow app."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from celery.signals import worker_init

from windrow.authoring.base import adopt, mixed
from windrow.authoring.bodies import body_of
from windrow.authoring.canvas import hand_results_past_execution_id
from windrow.authoring.configure import configure
from windrow.authoring.lost import register
from windrow.authoring.owed import publish_once
from windrow.authoring.parameters import ExecutionIdParameter
from windrow.authoring.publishing import bounded_send_task, producers
from windrow.authoring.results import use_result_backend
from windrow.settings import Settings

A = TypeVar("A")

_INSTALLED = "_windrow_configure"
_PROXYS_MAKER = "_Proxy__local"
_STOCK_CONTROL = "celery.app.control:Control"


def install(app: A, redis_url: str | None = None, key_prefix: str = "") -> A:
    """Make `app` (any Celery app) a Windrow app, and return it.

    Its tasks run on Windrow's workers, may be async functions and get their `execution_id`; its messages go through Windrow's
    transport, as JSON. `redis_url` is the broker, and the result backend unless the app has one of its own; without it
    REDIS_URL is taken, else the app's own broker. May be called at any time, before or after the app's tasks are made, and
    again.
    """
    celery: Any = app
    settings = Settings.from_env()
    url = redis_url or settings.redis_url
    prefix = key_prefix or settings.key_prefix
    first = not hasattr(celery, _INSTALLED)
    if not first:
        celery.on_after_configure.disconnect(getattr(celery, _INSTALLED))

    def apply(sender: Any = None, **_: Any) -> None:
        configure(celery, url, prefix)

    # An app's configuration may still be to come: reading it now would be too early.
    setattr(celery, _INSTALLED, apply)
    celery.on_after_configure.connect(apply, weak=False)
    if celery.configured:
        apply()
    if first:
        worker_init.connect(_preload, weak=False, dispatch_uid="windrow.authoring.preload")
        hand_results_past_execution_id()
        publish_once()
        use_result_backend(celery)
        make = celery._task_from_fun
        celery._task_from_fun = _making(celery, make)
        _redirect_pending(celery, make)
        celery.register_task = _registering(celery.register_task)
        celery.send_task = bounded_send_task(celery, celery.send_task)
        celery.producer_or_acquire = producers(celery, celery.producer_or_acquire)
        if celery.control_cls == _STOCK_CONTROL:
            celery.control_cls = "windrow.broker.control:Control"
            celery.__dict__.pop("control", None)
        for task in list(celery._tasks.values()):
            adopt(task)
        register(celery)
    return app


def _preload(**_: Any) -> None:
    """Load what tasks use of the database in the worker's main process, once, not in each child at its first task."""
    if Settings.from_env().database_url is not None:
        import windrow.authoring.repository  # noqa: F401
        from windrow.authoring.database import prepare

        prepare()


def _redirect_pending(app: Any, make: Callable[..., Any]) -> None:
    """Tasks that were decorated and not made yet hold Celery's own maker: they get the app's new one."""
    for proxy in app._pending:
        if not proxy.__evaluated__() and object.__getattribute__(proxy, _PROXYS_MAKER) == make:
            object.__setattr__(proxy, _PROXYS_MAKER, app._task_from_fun)


def _making(app: Any, make: Callable[..., Any]) -> Callable[..., Any]:
    """Celery's maker of tasks, given the body and the base that Windrow wants; before automatic retry is put around."""

    @functools.wraps(make)
    def task_from_fun(
        fun: Callable[..., Any], name: str | None = None, base: type | None = None, bind: bool = False, **options: Any
    ) -> Any:
        options.setdefault("execution_id_parameter", ExecutionIdParameter.of(fun, bound=bind))
        return make(body_of(fun, bound=bind), name=name, base=mixed(base or app.Task), bind=bind, **options)

    return task_from_fun


def _registering(register: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(register)
    def register_task(task: Any, **options: Any) -> Any:
        made = task() if inspect.isclass(task) else task
        adopt(made)
        return register(made, **options)

    return register_task
