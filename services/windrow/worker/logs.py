"""How a worker logs as JSON: Celery's records, the tasks' own and what they print, each as one line; else as Celery does."""

from __future__ import annotations

import logging
from typing import Any

import structlog
from celery import signals
from celery.utils.log import get_logger

from windrow.authoring.attempt import current_attempt
from windrow.logs import handler


def log_as_json(app: Any, level: int | str) -> None:
    """Have this process and all that it forks log as JSON from now on; an app that sets up logging itself keeps its own."""
    if signals.setup_logging.receivers:
        return
    line = handler("json", _told_by)

    def set_up(sender: Any = None, signal: Any = None, loglevel: int | str = level, **kwargs: Any) -> None:
        root, tasks = logging.getLogger(), get_logger("celery.task")
        root.handlers, tasks.handlers, tasks.propagate = [line], [], True
        root.setLevel(loglevel)
        # Celery sends these only for what it has set up itself.
        signals.after_setup_logger.send(sender=sender, logger=root, loglevel=loglevel, **kwargs)
        signals.after_setup_task_logger.send(sender=sender, logger=tasks, loglevel=loglevel, **kwargs)
        if app.conf.worker_redirect_stdouts:
            app.log.redirect_stdouts(app.conf.worker_redirect_stdouts_level)

    # What is said before Celery sets up, its warnings too.
    logging.getLogger().handlers = [line]
    logging.captureWarnings(True)
    signals.setup_logging.connect(set_up, weak=False)


def _told_by(logger: Any, method: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Add which task runs here, and which execution that is on record."""
    attempt = current_attempt()
    if attempt is not None:
        record.update(task=attempt.task, task_id=attempt.task_id, execution_id=attempt.execution_id)
    return record
