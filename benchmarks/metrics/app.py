"""An app with as many tasks as a large worker has: fifty, each of which fails now and then in one of six ways."""

from __future__ import annotations

import os

from celery import Celery

import windrow

TASKS = 50
QUEUE = "wide"
ERRORS = (ValueError, KeyError, OSError, RuntimeError, ZeroDivisionError, LookupError)
NAMES = tuple(f"project.package.module.task_number_{number}" for number in range(TASKS))

app = windrow.install(Celery("wide", broker=os.environ.get("REDIS_URL", "redis://localhost")))
app.conf.update(task_default_queue=QUEUE, task_ignore_result=True)


def body(failure: int | None = None) -> None:
    """Do nothing, or fail in the way of this number."""
    if failure is not None:
        raise ERRORS[failure]("measured")


for name in NAMES:
    app.task(name=name)(body)
