"""Celery's remote control commands that mean something else on a Windrow worker. Importing this puts them in Celery's place."""

from __future__ import annotations

from typing import Any

from celery.worker.control import Panel, nok, ok
from celery.worker.heartbeat import Heart

_stock = {name: Panel.data[name] for name in ("add_consumer", "enable_events", "disable_events")}


def _session(state: Any) -> Any:
    """The session of the worker that was asked; None on a stock worker."""
    return getattr(state.consumer.controller, "windrow", None)


def add_consumer(state: Any, queue: str, *args: Any, **options: Any) -> Any:
    """Take from a queue: on a Windrow worker from its own alone, again after `cancel_consumer`."""
    session = _session(state)
    if session is not None and queue != session.queue:
        return nok(f"this worker serves the queue {session.queue!r} alone; run another worker for {queue!r}")
    return _stock["add_consumer"](state, queue, *args, **options)


def enable_events(state: Any) -> Any:
    """Send task events and heartbeats from now on; before, a Windrow worker sends none and keeps no connection for them."""
    consumer = state.consumer
    if _session(state) is None or consumer.event_dispatcher is not None:
        return _stock["enable_events"](state)
    consumer.event_dispatcher = state.app.events.Dispatcher(
        state.app.connection_for_write(), hostname=consumer.hostname, buffer_group=["task"],
        on_send_buffered=consumer.on_send_event_buffered,
    )  # fmt: skip
    consumer.heart = Heart(consumer.timer, consumer.event_dispatcher)
    consumer.heart.start()
    _renew_strategies(consumer)
    return ok("task events enabled")


def disable_events(state: Any) -> Any:
    """Send no events from now on; those that `worker_send_task_events` asked for are disabled as in Celery."""
    consumer = state.consumer
    dispatcher = consumer.event_dispatcher
    if _session(state) is None or consumer.heart is None or dispatcher is None:
        return _stock["disable_events"](state)
    consumer.heart.stop()
    consumer.heart = consumer.event_dispatcher = None
    _renew_strategies(consumer)
    dispatcher.close()
    dispatcher.connection.release()
    return ok("task events disabled")


def _renew_strategies(consumer: Any) -> None:
    """Each task's strategy keeps the dispatcher that was there when it was made."""
    for name, task in consumer.app.tasks.items():
        consumer.strategies[name] = task.start_strategy(consumer.app, consumer)


for _command in (add_consumer, enable_events, disable_events):
    Panel.data[_command.__name__] = _command
