"""The drill's tasks: what they do, their callers choose."""

from __future__ import annotations

import os
import time

from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

app = Celery("drill")
app.conf.task_ignore_result = True


class Refused(RuntimeError):
    """What the drill's tasks fail with."""


@app.task
def work(seconds=0.0):
    """Sleep so long."""
    time.sleep(seconds)


@app.task
def fail():
    """End in failure."""
    raise Refused("the drill asked for a failure")


@app.task(bind=True, max_retries=None, default_retry_delay=0)
def again(self, times=1, delay=0.0):
    """Ask for so many retries, then end well."""
    if self.request.retries < times:
        raise self.retry(countdown=delay)


@app.task(acks_late=False)
def die_early():
    """End the process after the message was acknowledged: nothing can repeat it."""
    os.kill(os.getpid(), 9)


@app.task
def go_on(seconds=0.0):
    """Take no notice of the soft limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.1)
        except SoftTimeLimitExceeded:
            continue
