"""A task that decides itself what is worth a retry."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa
# mypy: ignore-errors

import logging

from celery import shared_task

logger = logging.getLogger(__name__)


class TemporaryError(Exception):
    """It may work in a while."""


class PermanentError(Exception):
    """It will never work."""


def process(data):
    """Works on text; `busy` is out of order for now, `broken` for ever."""
    if data == "busy":
        raise TemporaryError("busy")
    if data == "broken":
        raise PermanentError("broken")
    return f"processed {data}"


# ----------------------------------------------------------------------------------------------------
@shared_task(bind=True, max_retries=3)
def task_with_manual_retry(self, data):
    try:
        result = process(data)
        return result
    except TemporaryError as e:
        # Retry with custom delay
        raise self.retry(exc=e, countdown=30)
    except PermanentError as e:
        # Don't retry
        logger.error(f"Permanent error: {e}")
        raise
