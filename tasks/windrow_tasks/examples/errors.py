"""A task that tells temporary errors from lasting ones."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa
# mypy: ignore-errors

import logging

from celery import shared_task

logger = logging.getLogger(__name__)


def process(data):
    """Works on text; the name of an exception raises it."""
    failures = {
        "ConnectionError": ConnectionError("refused"),
        "TimeoutError": TimeoutError("too late"),
        "ValueError": ValueError("not a number"),
        "KeyError": KeyError("missing"),
    }
    if data in failures:
        raise failures[data]
    return f"processed {data}"


# ----------------------------------------------------------------------------------------------------
@shared_task(bind=True, max_retries=3)
def robust_task(self, data):
    try:
        # Validate input
        if not data:
            raise ValueError("Data is required")

        # Process
        result = process(data)
        return {"status": "success", "result": result}

    except (ConnectionError, TimeoutError) as e:
        # Temporary errors - retry
        logger.warning(f"Temporary error, retrying: {e}")
        raise self.retry(exc=e)

    except ValueError as e:
        # Validation errors - don't retry
        logger.error(f"Validation error: {e}")
        return {"status": "error", "message": str(e)}

    except Exception as e:
        # Unexpected errors
        logger.exception(f"Unexpected error: {e}")
        if self.request.retries < self.max_retries:
            raise self.retry(exc=e)
        return {"status": "error", "message": "Max retries exceeded"}
