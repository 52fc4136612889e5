"""`self.replace(…)`: what takes a task's place is accepted in the same step in which the task's own message ends.

Celery publishes the replacement first and acknowledges the old message later: a kill in between leaves both. Here all that
`replace` publishes leaves in one transaction that first marks the old message as handed on, and publishes nothing if the
attempt was given to another worker.

A replacement with the same task id (a single task) goes on with the execution. Steps with ids of their own (a chain, a group,
a chord) are executions of their own, the last of which carries the old task id; the replaced execution ends in the same step
as a success whose reason says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from celery._state import get_current_task
from celery.exceptions import Ignore

from windrow.authoring.attempt import Attempt
from windrow.broker import events
from windrow.broker.publication import Publication, with_event

TRIES_SECONDS = 3600
"""For how long a try to publish a replacement may come a second time."""


class Replaced(Ignore):
    """What `replace` raises: the attempt ends here, and `state` is the execution's from now on (None: it goes on)."""

    def __init__(self, reason: str, state: str | None) -> None:
        super().__init__(reason, state)
        self.reason, self.state = reason, state


@dataclass
class Replacement:
    """What one `replace` publishes in an attempt's place; `header` is Windrow's of the attempt's own message."""

    attempt: Attempt
    header: dict[str, Any]
    send: Callable[[str, list[Publication]], None]
    """Publishes all, or nothing: `send(name, publications)`."""
    publications: list[Publication] = field(default_factory=list)
    count: int = 0
    goes_on: bool = False

    def publish(self, signature: Any, on_replace: Callable[[Any], Any]) -> Any:
        """Do what Celery's `on_replace` does, its messages sent together; raises Replaced."""
        with self._collecting():
            try:
                answer = on_replace(signature)
            except Ignore:
                if not self.count:
                    raise
            else:
                if not self.count:
                    return answer  # a method of the task's own, which published nothing
        reason, state = self._reason(signature), None if self.goes_on else "success"
        if self.publications:
            if state is not None:
                self.publications[0] = with_event(self.publications[0], self._ended(reason, state))
            self.send(self.attempt.task, self.publications)
            state = None  # it has been told
        raise Replaced(reason, state)

    def fields(self, task_id: str) -> dict[str, Any]:
        """The fields of Windrow's header for one of its messages."""
        self.count += 1
        place = {"worker": self.header["worker"], "tag": self.header["tag"], "takes": True}
        if task_id == self.attempt.task_id:
            self.goes_on = True
            return {**place, "id": self.attempt.execution_id}
        return {**place, "once": self.attempt.execution_id, "for": TRIES_SECONDS}

    @contextmanager
    def _collecting(self) -> Iterator[None]:
        token = _replacing.set(self)
        try:
            yield
        finally:
            _replacing.reset(token)

    def _reason(self, signature: Any) -> str:
        name = signature.get("subtask_type") or signature.get("task")
        return f"replaced by {name}" if self.goes_on else f"replaced by a {name}, whose last step has its task id"

    def _ended(self, reason: str, state: str) -> events.Event:
        attempt = self.attempt
        return {
            "k": events.ENDED, "id": attempt.execution_id, "t": time.time(), "attempt": None, "outcome": None, "state": state,
            "queue": attempt.queue, "task": attempt.task, "reason": reason,
        }  # fmt: skip


_replacing: ContextVar[Replacement | None] = ContextVar("windrow_replacement", default=None)


def current_replacement() -> Replacement | None:
    """The replacement that is being published here."""
    found = _replacing.get()
    if found is None:
        return None
    task = get_current_task()
    return None if task is not None and task.request.called_directly else found
