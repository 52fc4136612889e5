"""Celery's consumer, taking through Windrow's taker and putting on record what can't be run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.worker import consumer as stock
from kombu.exceptions import ContentDisallowed

from windrow.worker.session import Session


def _nothing(*arguments: object) -> None:
    """Stands for Celery's acknowledgement: the request settles the message itself."""


class Consumer(stock.Consumer):
    """The consumer of a Windrow worker; `controller.windrow` is its session."""

    @property
    def session(self) -> Session:
        """This worker's session."""
        session: Session = self.controller.windrow
        return session

    def connect(self) -> Any:
        """Connect, and let the session take over the channel that tasks come through."""
        self.session.vitals.start()
        connection = super().connect()
        self.session.pool = self.pool
        self.session.begin(self.hub, connection.default_channel)
        return connection

    def on_close(self) -> None:
        """Keep what runs and waits: the in-flight set holds it, so no other worker gets it because a connection was lost."""
        for bucket in self.task_buckets.values():
            if bucket:
                bucket.clear_pending()

    def create_task_handler(self, promise: Any = None) -> Callable[[Any], None]:
        """What is done with each message."""
        strategies = self.strategies

        def on_task_received(message: Any) -> None:
            payload = None
            headers = message.headers
            try:
                name = headers["task"] if isinstance(headers, dict) and "task" in headers else None
                if name is None:
                    payload = message.decode()
                    name = payload["task"]
            except (TypeError, KeyError):
                self._reject(message, "the message must be a task call (a `task` header), but it names no task")
                return
            except Exception as error:  # noqa: BLE001 - a stranger's body can fail to decode in any way
                self._reject(message, f"the message must be JSON: {type(error).__name__}: {error}")
                return
            strategy = strategies.get(name)
            if strategy is None:
                self._unknown(message, name)
                return
            try:
                strategy(message, payload, _nothing, _nothing, self.on_task_message)
            except ContentDisallowed as error:
                self._reject(message, f"the message must be JSON (application/json), not {message.content_type}: {error}")
            except self.connection_errors:
                self.session.attempts.say("G", message.taken.tag, "")
                raise
            except Exception as error:  # noqa: BLE001 - whatever a stranger has put into the headers
                self._reject(message, f"the message must be one that Celery made: {type(error).__name__}: {error}")

        return on_task_received

    def _unknown(self, message: Any, name: str) -> None:
        self._reject(
            message, f"the task {str(name)[:200]!r} must be known to the app {self.app.main or self.app!r}, and is not"
        )
        if isinstance(message.headers, dict) and message.headers.get("id"):
            from celery.exceptions import NotRegistered

            self.app.backend.mark_as_failure(message.headers["id"], NotRegistered(name))

    def _reject(self, message: Any, reason: str) -> None:
        self.session.attempts.reject(message.taken, reason)
