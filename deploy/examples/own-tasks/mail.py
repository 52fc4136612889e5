"""Tasks of one's own on Windrow's image."""

from celery import Celery

import windrow

app = windrow.install(Celery("mail"))


@app.task(queue="mail", autoretry_for=(ConnectionError,), retry_backoff=True, max_retries=5)
async def send(to: str) -> str:
    """Send one."""
    return f"sent to {to}"
