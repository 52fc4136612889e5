"""Windrow: as it comes, records and metrics on; its server runs beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from celery import Celery

import windrow
from benchmarks.peers import work

app = windrow.install(Celery("peers", broker=os.environ["REDIS_URL"]))
app.conf.update(task_default_queue="bench", task_ignore_result=True)

noop = app.task(name="noop")(work.noop)
wait50 = app.task(name="wait50")(work.wait50_async)
marked = app.task(name="marked")(work.marked)


def publish(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    for each in arguments:
        globals()[task].delay(*each)
