"""Bare Celery: `BENCH_LATE` acknowledges late and brings back what was taken for longer than the silence; default otherwise."""

from __future__ import annotations

import os
from collections.abc import Sequence

from celery import Celery

from benchmarks.peers import work

app = Celery("peers", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_default_queue="bench", task_ignore_result=True, worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4"))
)
if os.environ.get("BENCH_LATE"):
    # docs.celeryq.dev, "Using Redis", Visibility timeout: an hour by default, because a task that takes longer runs twice.
    app.conf.update(
        task_acks_late=True, task_reject_on_worker_lost=True, broker_transport_options={"visibility_timeout": work.SILENCE}
    )

noop = app.task(name="noop")(work.noop)
wait50 = app.task(name="wait50")(work.wait50)
marked = app.task(name="marked")(work.marked)


def publish(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    for each in arguments:
        globals()[task].delay(*each)
