"""A worker with fifty tasks and all their errors, scraped while it runs them."""

from __future__ import annotations

import itertools
import sys
import threading
from dataclasses import dataclass

from benchmarks.metrics.app import ERRORS, NAMES, QUEUE, TASKS, app
from benchmarks.metrics.scraping import Scrapes, page, scrape
from benchmarks.stack import Stack, process, until
from windrow.authoring.install import install
from windrow.broker.client import connect
from windrow.broker.observe import workers

SPEC = """apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: wide}
spec:
  app: benchmarks.metrics.app:app
  pool: %s
  concurrency: %d
"""
SLOTS = {"prefork": 2, "asyncio": 20, "threads": 4}
PER_SECOND = 100.0
"""Tasks published a second while the worker is scraped, so that it is at work and keeps up."""


@dataclass(frozen=True)
class Worker:
    """What was seen of one worker."""

    pool: str
    tasks: int
    errors: int
    scrapes: Scrapes


def measure(stack: Stack, pool: str, count: int) -> Worker:
    """Scrape a worker of this pool so often, ten times a second, while it runs tasks."""
    stack.empty()
    install(app, stack.redis_url)
    spec = stack.folder / f"wide-{pool}.yaml"
    spec.write_text(SPEC % (pool, SLOTS[pool]))
    command = [sys.executable, "-m", "windrow.cli", "worker", "wide", "-f", str(spec)]
    over = threading.Event()
    with process(command, stack.environment({"WINDROW_LOG_LEVEL": "CRITICAL"}), stack.folder / f"wide-{pool}.log") as worker:
        client = connect(stack.redis_url)
        until(lambda: workers(client), 60, "the worker registers", worker)
        (told,) = workers(client)
        url = f"http://{told.metrics}/metrics"
        for task, failure in itertools.product(NAMES, range(len(ERRORS))):
            app.tasks[task].delay(failure)
        until(lambda: page(url).count(b"windrow_task_failures_total{") > TASKS * len(ERRORS), 120, "each has failed", worker)
        load = threading.Thread(target=_publish, args=(over,))
        load.start()
        try:
            found = scrape(url, count, 0.1)
        finally:
            over.set()
            load.join()
    return Worker(pool, TASKS, TASKS * len(ERRORS), found)


def _publish(over: threading.Event) -> None:
    for task in itertools.cycle(NAMES):
        app.tasks[task].apply_async(queue=QUEUE)
        if over.wait(1 / PER_SECOND):
            return
