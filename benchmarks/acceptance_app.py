"""The task that `benchmarks.acceptance` runs: it writes down when it started."""

from __future__ import annotations

import os
import time

from celery import Celery

app = Celery("acceptance")


@app.task(bind=True, ignore_result=True, queue="bench", name="bench.stamp")
def stamp(self, n):
    """Note when this started."""
    fd = os.open(os.environ["STARTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, f"{self.request.id} {time.time():.6f}\n".encode())
    finally:
        os.close(fd)
