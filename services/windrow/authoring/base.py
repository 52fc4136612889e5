"""What every task of a Windrow app can do: a class mixed in before the task's own."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from celery.exceptions import Ignore

from windrow.authoring import progress
from windrow.authoring.attempt import current_attempt
from windrow.authoring.bodies import body_of
from windrow.authoring.canvas import leave_canvas, return_to_canvas
from windrow.authoring.greenlets import owner
from windrow.authoring.owed import current_debt
from windrow.authoring.parameters import EXECUTION_ID, ExecutionIdParameter
from windrow.authoring.publishing import send_together
from windrow.authoring.redaction import redacted
from windrow.authoring.replacing import Replacement, current_replacement

EXTERNAL_HEADER = "windrow_external"
_CELERYS_REQUEST = "celery.worker.request:Request"


class TaskMixin:
    """Celery's task, run by Windrow's worker: with a record, progress on it, and `execution_id` in the arguments."""

    Request = "windrow.worker.request:Request"
    Strategy = "windrow.worker.strategy:default"

    execution_id_parameter: ExecutionIdParameter | None = None
    """Where the signature takes `execution_id`, if it does."""

    redact: bool | str | Iterable[str] = ()
    """Arguments that must not be on record: their names, or True for all of them and the result."""

    keep_log: bool | None = None
    """Whether the end of what an attempt logs is kept with its record; None: unless something is redacted."""

    durable: bool = False
    """Whether a call is accepted by the database, and published after, unless it says `durable` itself."""

    app: Any
    request: Any

    def apply_async(self, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """As Celery's, and `durable=True`: this returns when the call is in PostgreSQL, whatever becomes of Redis.

        A given `execution_id` goes on record beside the execution's own; a required one may be left out.
        """
        if self._is_durable(options):
            from windrow.authoring.durable import accept

            return accept(self, args, kwargs, options)
        parameter = self.execution_id_parameter
        if parameter is not None and not self.app.conf.task_always_eager:
            given = parameter.given(args or (), kwargs or {})
            if given is not None:
                self._note_external(given, options)
            elif parameter.required and parameter.absent(args or (), kwargs or {}):
                # Celery checks the call against the signature; the worker fills in the id of the record.
                kwargs = {**(kwargs or {}), EXECUTION_ID: None}
        if self.redact:
            redacted(self, args or (), kwargs or {}, options)
        return super().apply_async(args, kwargs, *rest, **options)  # type: ignore[misc]

    async def adelay(self, *args: Any, **kwargs: Any) -> Any:
        """`delay()` for coroutines: the event loop does not wait for Redis, and the message is there when this returns."""
        return await self.aapply_async(args, kwargs)

    async def aapply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """`apply_async()` for coroutines; raises what that raises. Canvas is published by `asyncio.to_thread`."""
        if self.app.conf.task_always_eager:
            return self.apply_async(args, kwargs, **options)
        if self._is_durable(options):
            from windrow.authoring.durable import accept_soon

            return await accept_soon(self, args, kwargs, options)
        from windrow.authoring.awaiting import publish_soon

        return await publish_soon(self.app, self, args, kwargs, {**options, "durable": False})

    def apply(self, *args: Any, **options: Any) -> Any:
        """As Celery's: in this process, without a record."""
        token = leave_canvas()
        try:
            return super().apply(*args, **options)  # type: ignore[misc]
        finally:
            return_to_canvas(token)

    def on_replace(self, sig: Any) -> Any:
        """As Celery's; in a worker what takes this task's place is accepted in the step in which its own message ends."""
        attempt = current_attempt(self)
        if attempt is None:
            return super().on_replace(sig)  # type: ignore[misc]
        on_replace = super().on_replace  # type: ignore[misc]
        replacement = Replacement(attempt, self.request.windrow, functools.partial(send_together, self.app))
        coroutine = owner()
        if coroutine is None:
            return replacement.publish(sig, on_replace)
        coroutine.owe(replacement.publish, sig, on_replace)  # its task ends with what this raises
        raise Ignore("replaced")

    def _is_durable(self, options: dict[str, Any]) -> bool:
        """Whether the database accepts a call with these options, of which `durable` is taken out."""
        given = options.pop("durable", None)
        if given is not None and not isinstance(given, bool):
            raise TypeError(f"durable must be True or False, not {given!r}")
        if not (self.durable if given is None else given) or self.app.conf.task_always_eager:
            return False
        # A retry or a replacement takes the place of its old message, and what an attempt owes (the next step of its chain) is
        # told before the attempt's own end: their executions are as safe as the one that makes them.
        if current_debt() is not None or current_replacement() is not None:
            return False
        attempt = current_attempt()
        return attempt is None or options.get("task_id") != attempt.task_id

    def _note_external(self, given: Any, options: dict[str, Any]) -> None:
        headers = options.get("headers") or {}
        own = headers.get("windrow") or {}
        if str(given) != own.get("id"):
            options["headers"] = {**headers, EXTERNAL_HEADER: str(given)}

    def update_state(self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any) -> None:
        """As Celery's; inside a worker the state and `meta` also go on the execution's record, at most once a second."""
        request = self.request
        own = task_id is None or task_id == request.id
        if task_id is None:
            task_id = request.id  # as it is now: the call may be carried out later
        update = super().update_state  # type: ignore[misc]

        def tell() -> None:
            update(task_id, state, meta, **kwargs)
            if own:
                progress.report(self.app, self, state, meta)

        coroutine = owner()
        if coroutine is None:
            tell()
        else:  # the loop must not wait for Redis; the task ends when it is told
            coroutine.owe(tell)


@lru_cache(maxsize=1024)
def mixed(kind: type) -> type:
    """The task class with Windrow's mixin in front; itself when it has it."""
    if issubclass(kind, TaskMixin):
        return kind
    return type(kind.__name__, (TaskMixin, kind), {**_kept(kind), "abstract": True})


def _kept(kind: type) -> dict[str, Any]:
    """What the mixin must not hide of a task class: its name's home, its documentation, a Request of its own."""
    kept = {"__module__": kind.__module__, "__doc__": kind.__doc__}
    own = getattr(kind, "Request", None)
    return kept if own in (None, _CELERYS_REQUEST) else {**kept, "Request": own}


def adopt(task: Any) -> None:
    """Make a task that already exists, decorated or a class of its own, one of Windrow's."""
    kind = type(task)
    if issubclass(kind, TaskMixin):
        return
    found = inspect.getattr_static(kind, "run")
    bound = not isinstance(found, staticmethod)
    fun: Callable[..., Any] = found.__func__ if isinstance(found, staticmethod | classmethod) else found
    body = body_of(fun, bound=bound)
    attributes: dict[str, Any] = {
        **_kept(kind),
        "execution_id_parameter": ExecutionIdParameter.of(fun, bound=bound),
    }
    if body is not fun:
        attributes["run"] = attributes["__wrapped__"] = body if bound else staticmethod(body)
        if getattr(task, "_decorated_fun", None) is fun:
            attributes["_decorated_fun"] = staticmethod(body)
    task.__class__ = type(kind.__name__, (TaskMixin, kind), attributes)
    if "_orig_run" in task.__dict__ and body is not fun:
        # Celery's automatic retry has taken the old function as the one it calls.
        task._orig_run = types.MethodType(body, task) if bound else body
    task.__dict__.pop("__trace__", None)
