"""How a worker logs: Celery's records, the tasks' own (by structlog or `logging`) and what they print, each as one line.

As JSON, or for people; each line of a task says which attempt of which execution it is of. The end of each attempt's log is
kept for its record (`tails`). An app that sets up logging itself keeps its own; what reaches the root logger is kept there too.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from billiard.exceptions import SoftTimeLimitExceeded
from celery import signals
from celery.app.defaults import DEFAULT_PROCESS_LOG_FMT, DEFAULT_TASK_LOG_FMT
from celery.utils.log import get_logger

from windrow.authoring.attempt import current_attempt
from windrow.logs import configure_structlog, format_for_people, handler
from windrow.worker.tails import current_tail

CELERYS_OWN = "celery.app.trace"
"""Who tells that a task has ended: that is on record, and not what the task logs."""

_IDS = "windrow_ids"


def set_up_logging(app: Any, log_format: str, level: int | str) -> None:
    """Have this process and all that it forks log as `json` or, `console`, for people, from now on.

    An app that sets up logging itself, or (`console`) has formats of its own, keeps them.
    """
    if signals.setup_logging.receivers or (log_format == "console" and _has_own(app)):
        return
    line = handler("json", _add_ids) if log_format == "json" else _terminal()
    line.addFilter(_note_ids)

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
    if not structlog.is_configured():
        configure_structlog(structlog.stdlib.filter_by_level)
    signals.setup_logging.connect(set_up, weak=False)


def keep_tails() -> None:
    """Keep what attempts log from now on, whoever has set up logging: what reaches the root logger, or Celery's of tasks."""
    root, tasks = logging.getLogger(), get_logger("celery.task")
    keeper = _Keeper()
    for one in (root,) if tasks.propagate else (root, tasks):
        one.addHandler(keeper)


class _Keeper(logging.Handler):
    """Writes to the memory that is kept of an attempt's log."""

    def emit(self, record: logging.LogRecord) -> None:
        tail = current_tail()
        if tail is None or record.name == CELERYS_OWN:
            return
        try:
            tail.write(format_for_people(record))
        except SoftTimeLimitExceeded:
            raise  # it may come anywhere
        except Exception:  # noqa: BLE001 - as every handler: what can't be logged must not end a task
            self.handleError(record)


class _ForPeople(logging.Formatter):
    def __init__(self, *, colors: bool) -> None:
        super().__init__()
        self._before, self._after = ("\x1b[2m", "\x1b[0m") if colors else ("", "")

    def format(self, record: logging.LogRecord) -> str:
        ids = getattr(record, _IDS, None)
        return format_for_people(record, f" {self._before}{_short(ids)}{self._after}" if ids else "")


def _terminal() -> logging.Handler:
    made = logging.StreamHandler()
    made.setFormatter(_ForPeople(colors=sys.stderr.isatty()))
    return made


def _has_own(app: Any) -> bool:
    conf = app.conf
    formats = (conf.worker_log_format, conf.worker_task_log_format)
    return not conf.worker_hijack_root_logger or formats != (DEFAULT_PROCESS_LOG_FMT, DEFAULT_TASK_LOG_FMT)


def ids_here() -> dict[str, str | None] | None:
    """Which attempt of which execution runs here, as a line says it; None outside a task."""
    attempt = current_attempt()
    if attempt is None:
        return None
    return {
        "execution_id": attempt.execution_id, "attempt": attempt.attempt_id, "queue": attempt.queue, "task": attempt.task,
        "task_id": attempt.task_id, "trace_id": attempt.trace_id,
    }  # fmt: skip


def _short(ids: dict[str, str | None]) -> str:
    """Which attempt, for people: the execution's id whole, since it is what `windrow show` and `windrow logs` take."""
    attempt, task_id, trace = (ids[name] or "" for name in ("attempt", "task_id", "trace_id"))
    return (
        f"({ids['queue']} {ids['task']} execution={ids['execution_id']} attempt=…{attempt[-8:]} task_id={task_id[:8]}… "
        f"trace=…{trace[-8:]})"
    )


def _note_ids(record: logging.LogRecord) -> bool:
    """Note, in the record, which attempt it is of: whoever formats it may run elsewhere."""
    if not hasattr(record, _IDS):
        setattr(record, _IDS, ids_here())
    return True


def _add_ids(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    ids = getattr(event.get("_record"), _IDS, None)
    if ids:
        event.update(ids)
    return event
