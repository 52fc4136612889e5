"""Celery's Redis result backend without a round trip of its own for each call."""

from __future__ import annotations

from typing import Any

from celery.backends.redis import RedisBackend

from windrow.authoring.attempt import current_attempt
from windrow.authoring.greenlets import synchronous

ALIAS = "windrow.authoring.results:ResultBackend"
SCHEMES = ("redis", "rediss")


class ResultBackend(RedisBackend):
    """Celery's Redis result backend; a result is listened for when somebody waits for it.

    Celery subscribes to each result before it publishes the call, in case somebody should wait, and tries for 20 s when Redis
    is away. Waiting subscribes as well, and reads the result after that, so nothing is missed.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nothing."""

    def mark_as_done(
        self, task_id: Any, result: Any, request: Any = None, store_result: bool = True, *rest: Any, **more: Any
    ) -> Any:
        """As Celery's; around a coroutine what speaks to Redis does so in a thread."""
        here = synchronous() if store_result or (request is not None and request.chord) else None
        mark = super().mark_as_done
        if here is None:
            return mark(task_id, result, request, store_result, *rest, **more)
        return here.offload(mark, task_id, result, request, store_result, *rest, **more)

    def mark_as_failure(self, *args: Any, **more: Any) -> Any:
        """As Celery's; around a coroutine in a thread."""
        here = synchronous()
        mark = super().mark_as_failure
        return mark(*args, **more) if here is None else here.offload(mark, *args, **more)

    def store_result(self, *args: Any, **more: Any) -> Any:
        """As Celery's; around a coroutine in a thread."""
        here = synchronous()
        store = super().store_result
        return store(*args, **more) if here is None else here.offload(store, *args, **more)

    def ensure(self, fun: Any, args: Any, **policy: Any) -> Any:
        """As Celery's, but a worker's attempt stores its result as soon as Redis is back, however long that takes."""
        if current_attempt() is not None:
            policy.setdefault("max_retries", None)
        return super().ensure(fun, args, **policy)


def use_result_backend(app: Any) -> None:
    """Let the app's `redis://` and `rediss://` result backends be this one; backends that the app names itself stay."""
    app.loader.override_backends = {**dict.fromkeys(SCHEMES, ALIAS), **app.loader.override_backends}
