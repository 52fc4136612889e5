"""Tasks with a queue of their own, each served by workers of its own."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa
# mypy: ignore-errors

from celery import shared_task


# ----------------------------------------------------------------------------------------------------
# High priority queue
@shared_task(queue='high_priority')
def urgent_task(data):
    pass

# File processing queue
@shared_task(queue='file_queue')
def process_file(file_id):
    pass

# Long-running queue
@shared_task(queue='long_running', soft_time_limit=3600)
def batch_job(batch_id):
    pass
