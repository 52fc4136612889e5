"""Publishing fails soon and says why."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import redis
from kombu.exceptions import EncodeError, OperationalError

from windrow.authoring.configure import PUBLISH_SECONDS


def bounded_send_task(app: Any, send_task: Callable[..., Any]) -> Callable[..., Any]:
    """Celery's `send_task`, whose failures are one sentence each.

    Raises kombu's OperationalError when Redis can't be reached, after 3 seconds at most, and EncodeError when the arguments, or
    the serializer asked for, are no JSON.
    """

    @functools.wraps(send_task)
    def send(name: str, *args: Any, **options: Any) -> Any:
        serializer = options.get("serializer")
        if serializer not in (None, "json", "application/json"):
            raise EncodeError(f"the message of {name} must be JSON, not {serializer!r}: leave `serializer` out")
        try:
            return send_task(name, *args, **options)
        except (OperationalError, redis.ConnectionError, redis.TimeoutError, OSError) as exc:
            raise OperationalError(
                f"{name} was not accepted: Redis at {_where(app)} must answer within {PUBLISH_SECONDS:g} s, and it said: {exc}"
            ) from exc

    return send


def _where(app: Any) -> str:
    with app.connection_for_write() as connection:
        return str(connection.as_uri())  # the password is masked
