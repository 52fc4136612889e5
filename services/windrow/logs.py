"""How processes log: one line for each event, for people or as JSON, to standard error."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import structlog


def configure(log_format: str) -> None:
    """Set structlog, and the standard library's loggers with it, to `console` or `json`."""
    configure_structlog()
    root = logging.getLogger()
    root.handlers = [handler(log_format)]
    root.setLevel(logging.INFO)
    # Alembic tells each step twice.
    logging.getLogger("alembic").setLevel(logging.WARNING)


def configure_structlog(*first: structlog.typing.Processor) -> None:
    """Have structlog give its events to the standard library's loggers, for `handler` and `format_for_people`."""
    structlog.configure(
        processors=[*first, *_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def handler(log_format: str, *more: structlog.typing.Processor) -> logging.Handler:
    """What writes a line to standard error for each record, structlog's or not; `more` adds to it."""
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    made = logging.StreamHandler()
    made.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), _add_extras],
            processors=[*more, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    return made


def format_for_people(record: logging.LogRecord, more: str = "") -> str:
    """A record (structlog's or not) as text: time, level, what, its fields, the logger, `more`; then an exception's lines."""
    given = record.msg
    if isinstance(given, dict) and hasattr(record, "_logger"):
        fields: dict[str, Any] = {name: value for name, value in given.items() if name not in _SAID}
        event, info, stack = given.get("event", ""), fields.pop("exc_info", None), fields.pop("stack", None)
        said = "".join(f" {name}={value!r}" for name, value in fields.items())
    else:
        event, info, stack = record.getMessage(), record.exc_info, record.stack_info
        said = "".join(f" {name}={value!r}" for name, value in extras(record).items())
    text = f"{_moment(record)} [{record.levelname.lower()}] {event}{said} [{record.name}]{more}"
    if info:
        text += f"\n{_exception(info)}"
    return f"{text}\n{stack}" if stack else text


def extras(record: logging.LogRecord) -> dict[str, Any]:
    """What `extra=` gave to one of the standard library's loggers.

    Celery's own are left out: they repeat arguments and results, which a task may have redacted.
    """
    if record.name.startswith(_CELERYS):
        return {}
    return {name: value for name, value in record.__dict__.items() if name not in _USUAL and not name.startswith(_OURS)}


def _add_extras(logger: Any, method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    record = event.get("_record")
    if isinstance(record, logging.LogRecord):
        event.update((name, value) for name, value in extras(record).items() if name not in event)
    return event


_USUAL = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})
_CELERYS = ("celery.app.", "celery.worker.", "celery.bootsteps", "kombu.")
_OURS = ("_", "windrow_")
_SAID = frozenset({"event", "level", "logger", "timestamp"})
_plain = logging.Formatter()


def _moment(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _exception(info: Any) -> str:
    if isinstance(info, BaseException):
        info = (type(info), info, info.__traceback__)
    elif not isinstance(info, tuple):
        info = sys.exc_info()
    return _plain.formatException(info)


def _shared() -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
