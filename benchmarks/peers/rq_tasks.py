"""RQ: results stay for its default of 500 s; in rounds with kill -9 a job whose worker died is retried."""

from __future__ import annotations

import os
from collections.abc import Sequence

import redis
from rq import Queue, Retry

from benchmarks.peers import work


def publish(task: str, arguments: Sequence[tuple[int, ...]]) -> None:
    queue = Queue("bench", connection=redis.Redis.from_url(os.environ["REDIS_URL"]))
    # python-rq.org/docs/exceptions/#retrying-failed-jobs: without it an abandoned job is only moved to FailedJobRegistry.
    # A SimpleWorker's job counts as abandoned 60 s after its timeout, which is 180 s by default.
    given = {"retry": Retry(max=3), "job_timeout": 5} if task == "marked" else {}
    with queue.connection.pipeline() as pipe:
        for each in arguments:
            queue.enqueue(getattr(work, task), *each, **given, pipeline=pipe)
        pipe.execute()
