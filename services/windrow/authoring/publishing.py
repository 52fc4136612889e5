"""Publishing fails soon and says why; in a worker, what must go out waits for Redis."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

import redis
from celery.app.amqp import _callback_publish_retry
from kombu.exceptions import EncodeError, OperationalError
from kombu.utils.url import sanitize_url
from kombu.utils.uuid import uuid

from windrow.authoring.attempt import current_attempt
from windrow.authoring.greenlets import owner, synchronous

logger = logging.getLogger(__name__)

SOCKET_SECONDS = 2.5
"""How long one try may wait for Redis; with the tries before it, publishing fails within 3 s."""
_RETRY_SECONDS = 0.5
"""How long tries that fail at once are repeated: a restart of Redis leaves a closed connection behind."""
_PAUSE = 0.1
_PATIENT_PAUSE = 0.5
_TASK_ID = 5
"""The place of `task_id` among the arguments of Celery's `send_task`, after the name."""

_AWAY = (OperationalError, redis.ConnectionError, redis.TimeoutError, OSError)


def bounded_send_task(app: Any, send_task: Callable[..., Any]) -> Callable[..., Any]:
    """Celery's `send_task`, whose failures are one sentence each.

    Raises kombu's OperationalError when Redis can't be reached, within 3 s, and EncodeError when the serializer asked for is
    not JSON. What a worker's attempt leaves behind (its retry, the next step of its chain) is no caller's to repeat: it waits
    until Redis is back.
    """

    @functools.wraps(send_task)
    def send(name: str, *args: Any, **options: Any) -> Any:
        here = synchronous()
        if here is not None:  # around a coroutine: the loop must not wait for Redis
            return here.offload(send, name, *args, **options)
        serializer = options.get("serializer")
        if serializer not in (None, "json", "application/json"):
            raise EncodeError(f"the message of {name} must be JSON, not {serializer!r}: leave `serializer` out")
        if len(args) < _TASK_ID and options.get("task_id") is None:
            options["task_id"] = uuid()  # the same for every try: the first may have arrived
        patient = _is_owed(options)
        coroutine = owner() if patient else None
        if coroutine is not None:  # a retry from a coroutine: its task ends when it is published
            coroutine.owe(send, name, *args, **options)
            return app.AsyncResult(options.get("task_id") or args[_TASK_ID - 1])
        started = time.monotonic()
        while True:
            try:
                return send_task(name, *args, **options)
            except _AWAY as exc:
                waited = time.monotonic() - started
                if not patient and waited > _RETRY_SECONDS:
                    raise OperationalError(
                        f"publishing {name} failed after {waited:.1f} s: Redis at {_where(app)} must answer within 3 s; "
                        f"it said: {exc}"
                    ) from exc
                if patient:
                    logger.warning("%s waits for Redis to be published: %s", name, exc)
                time.sleep(_PATIENT_PAUSE if patient else _PAUSE)

    return send


def _is_owed(options: dict[str, Any]) -> bool:
    """Whether this is the retry of the attempt that runs here, or what follows it in a canvas."""
    attempt = current_attempt()
    if attempt is None:
        return False
    return bool(_callback_publish_retry.get()) or options.get("task_id") == attempt.task_id


def _where(app: Any) -> str:
    url = app.conf.broker_write_url
    return sanitize_url(url) if isinstance(url, str) else "an unknown address: set REDIS_URL"
