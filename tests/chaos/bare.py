"""Bare Celery, set up for the best it can do about faults."""

from __future__ import annotations

import os
from typing import Any

VISIBILITY_TIMEOUT = 30
"""Seconds after which an unacknowledged message is given to another worker: low, since it is how Celery finds a dead worker;
above the longest task of most rows, since a longer one then runs twice."""

RESTORE_SECONDS = 100
"""How often kombu looks for messages past the visibility timeout: at each tenth of its ticks of 10 s."""


def configure(app: Any) -> None:
    """Every setting of Celery 5.7 that helps: late acknowledgement, rejection of what a lost child ran, patience with Redis."""
    url = os.environ.get("REDIS_URL", "redis://localhost")
    visibility = int(os.environ.get("CHAOS_VISIBILITY", VISIBILITY_TIMEOUT))
    options = {"visibility_timeout": visibility, "socket_timeout": 5, "socket_connect_timeout": 5, "retry_on_timeout": True}
    app.conf.update(
        broker_url=url,
        result_backend=url,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=options,
        result_backend_transport_options={"socket_timeout": 5, "retry_on_timeout": True},
        redis_retry_on_timeout=True,
        redis_socket_timeout=5,
        result_extended=True,
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 3, "interval_start": 0.1, "interval_step": 0.5, "interval_max": 1.0},
    )
