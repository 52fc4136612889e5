"""A task call made as Celery makes it, and written down in place of being published."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from celery.result import AsyncResult

from windrow.authoring.base import TaskMixin
from windrow.authoring.direct import DirectProducer
from windrow.broker.keys import Keys
from windrow.broker.publication import MOST_MESSAGE, Publication


@dataclass(frozen=True, slots=True)
class Call:
    """A task call: its message, and the ids it will have wherever it is published."""

    execution_id: UUID
    task_id: str
    task: str
    queue: str
    message: str
    result: AsyncResult


class _Paper:
    """Stands where an app's way to Redis stands; a message to any queue can be written."""

    keys = Keys()

    def takes(self, routing_key: object) -> bool:
        return True

    def publish_by_kombu(self, *args: Any, **options: Any) -> None:
        raise AssertionError("a written message goes nowhere")


class _Writer(DirectProducer):
    """Takes a call from Celery as a producer would, and keeps it."""

    def __init__(self) -> None:
        super().__init__(_Paper(), self._keep, _nowhere)  # type: ignore[arg-type]
        self.written: list[Publication] = []

    def publish(self, body: Any, exchange: Any = None, routing_key: Any = None, *args: Any, **options: Any) -> None:
        headers = options.get("headers") or {}
        if "task" not in headers:
            return  # the event that the task was sent: it isn't yet
        if exchange:
            raise ValueError(
                f"a call of {headers['task']} must go to one queue to be kept in the database, not to the exchange "
                f"{exchange!r}: give `queue`"
            )
        options.update(compression=None, content_type=None, content_encoding=None)
        super().publish(body, exchange, routing_key, *args, **options)

    def _keep(self, publications: list[Publication]) -> None:
        self.written += publications


def written(task: Any, args: Any, kwargs: Any, options: dict[str, Any]) -> Call:
    """What `task.apply_async(args, kwargs, **options)` would publish; nothing is asked of Redis.

    Raises what Celery raises for arguments that don't fit or are no JSON, and
    ValueError for a message that is too long or has no queue of its own.
    """
    writer = _Writer()
    result = task.apply_async(args, kwargs, producer=writer, **{**options, "durable": False})
    (made,) = writer.written
    size = len(made.text)
    if size > MOST_MESSAGE:
        raise ValueError(f"the message of {made.task} must have at most 8 MiB ({MOST_MESSAGE} bytes), not {size}")
    return Call(UUID(made.execution), made.task_id, made.task, made.queue, made.text, result)


def windrow_task(task: Any, what: str) -> Any:
    """`task` if it is a task of a Windrow app; raises TypeError with one sentence when it isn't."""
    if not isinstance(task, TaskMixin):
        raise TypeError(
            f"{what} must be a task of a Windrow app (windrow.install(app); app.set_default() makes it the current "
            f"one in every thread), not {task!r}"
        )
    return task


def _nowhere(*args: Any, **options: Any) -> None:
    """What kombu would publish, left out."""
