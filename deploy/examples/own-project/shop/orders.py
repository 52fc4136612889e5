"""The project's tasks, as they were."""

from celery import shared_task


@shared_task(bind=True, autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=5)
def ship(self, order: int) -> str:
    """Ship an order."""
    return f"{order} shipped"


@shared_task
def total(shipped: list[str]) -> int:
    """How many were shipped."""
    return len(shipped)
