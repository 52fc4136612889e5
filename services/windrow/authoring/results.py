"""Celery's Redis result backend without a round trip of its own for each call."""

from __future__ import annotations

from typing import Any

import redis
from celery.backends.redis import RedisBackend

from windrow.authoring.attempt import current_attempt
from windrow.authoring.chords import begin, part_returned
from windrow.authoring.greenlets import synchronous
from windrow.broker.refusal import is_full
from windrow.broker.scripts import load

ALIAS = "windrow.authoring.results:ResultBackend"
SCHEMES = ("redis", "rediss")
ATTEMPT = "windrow_attempt"
"""The field of a stored result that says which attempt has stored it."""


class ResultBackend(RedisBackend):
    """Celery's Redis result backend; a result is listened for when somebody waits for it.

    Celery subscribes to each result before it publishes the call, in case somebody should wait, and tries for 20 s when Redis
    is away. Waiting subscribes as well, and reads the result after that, so nothing is missed.
    """

    def on_task_call(self, producer: Any, task_id: str) -> None:
        """Nothing."""

    def _get_result_meta(self, result: Any, state: Any, traceback: Any, request: Any, **more: Any) -> Any:
        meta = super()._get_result_meta(result, state, traceback, request, **more)
        header = getattr(request, "windrow", None)
        if isinstance(header, dict) and header.get("attempt"):
            meta[ATTEMPT] = header["attempt"]
        return meta

    def store_result(self, *args: Any, **more: Any) -> Any:
        """As Celery's; around a coroutine in a thread, so that its loop does not wait for Redis."""
        here = synchronous()
        store = super().store_result
        return store(*args, **more) if here is None else here.offload(store, *args, **more)

    def on_chord_part_return(self, *args: Any, **_: Any) -> None:
        """As Celery's, but each part counts once and the body is published once; around a coroutine in a thread."""
        here = synchronous()
        return part_returned(self, *args) if here is None else here.offload(part_returned, self, *args)

    def set_chord_size(self, group_id: str, chord_size: int) -> None:
        """As Celery's, in one step; what a repeated attempt says again does not begin the chord anew."""
        begin(self, group_id, chord_size)

    def get(self, key: Any) -> Any:
        """As Celery's, but an attempt that stores its result, and looks at what is there first, waits for Redis."""
        return super().get(key) if current_attempt() is None else self.ensure(super().get, (key,))

    def _set(self, key: Any, value: Any, expires: Any = None) -> None:
        try:
            super()._set(key, value, expires)
        except redis.ResponseError as error:
            if not is_full(error):
                raise
            self._keep(key, value, self.expires if expires is None else expires)

    def _set_chord_key(self, key: Any, value: Any) -> None:
        try:
            super()._set_chord_key(key, value)
        except redis.ResponseError as error:
            if not is_full(error):
                raise
            self.ensure(self._keep, (key, value, self.chord_expires))

    def _keep(self, key: Any, value: Any, expires: Any) -> None:
        """Store what a running task leaves behind though Redis is full."""
        load("keep")(self.client, [key], [value, int(expires or 0)])

    def ensure(self, fun: Any, args: Any, **policy: Any) -> Any:
        """As Celery's, but a worker's attempt stores its result as soon as Redis is back, however long that takes."""
        if current_attempt() is not None:
            policy.setdefault("max_retries", None)
        return super().ensure(fun, args, **policy)


def use_result_backend(app: Any) -> None:
    """Let the app's `redis://` and `rediss://` result backends be this one; backends that the app names itself stay."""
    app.loader.override_backends = {**dict.fromkeys(SCHEMES, ALIAS), **app.loader.override_backends}
