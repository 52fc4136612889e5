"""A task that tells how far it is."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa
# mypy: ignore-errors

import time

from celery import shared_task


def process(item):
    """Takes `item` seconds."""
    time.sleep(item)


# ----------------------------------------------------------------------------------------------------
@shared_task(bind=True)
def long_running_task(self, items):
    total = len(items)

    for i, item in enumerate(items):
        process(item)

        # Update progress
        self.update_state(
            state='PROGRESS',
            meta={'current': i + 1, 'total': total}
        )

    return {'status': 'complete', 'processed': total}
