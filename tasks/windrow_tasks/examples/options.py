"""Every option of the task decorator."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa
# mypy: ignore-errors

from celery import shared_task


# ----------------------------------------------------------------------------------------------------
@shared_task(
    # Task binding
    bind=True,                    # Access self for retries, request info

    # Retry configuration
    max_retries=3,                # Max retry count
    default_retry_delay=60,       # Base delay between retries (seconds)
    autoretry_for=(Exception,),   # Exception types to auto-retry
    retry_backoff=True,           # Enable exponential backoff
    retry_backoff_max=300,        # Maximum backoff time
    retry_jitter=True,            # Add randomness to backoff

    # Time limits
    soft_time_limit=120,          # Soft limit (raises exception)
    time_limit=180,               # Hard limit (kills worker)

    # Queue routing
    queue='default',              # Queue name

    # Rate limiting
    rate_limit='10/m',            # Max 10 per minute

    # Acknowledgment
    acks_late=True,               # Ack after completion (reliable)
    reject_on_worker_lost=True,   # Requeue if worker dies

    # Tracking
    track_started=True,           # Track when task starts

    # Expiration
    expires=3600,                 # Task expires after 1 hour
)
def my_task(self):
    pass
