"""Tasks for what must be as in Celery: the same module for a stock worker and for a Windrow worker."""

from __future__ import annotations

import os
import time

from celery import Celery, signals
from celery.exceptions import Ignore, Reject

from tests.apps.evidence import note

WATCHED = ("task_received", "task_prerun", "task_postrun", "task_success", "task_failure", "task_retry", "task_revoked")


def make() -> Celery:
    """An app with these tasks, not Windrow's."""
    app = Celery("parity", broker=os.environ.get("REDIS_URL"), backend=os.environ.get("REDIS_URL"), set_as_current=False)
    app.conf.update(
        task_default_queue="work",
        task_track_started=True,
        task_send_sent_event=True,
        worker_deduplicate_successful_tasks=True,
        worker_enable_remote_control=True,
        broker_connection_retry_on_startup=True,
        result_extended=True,
        task_serializer="json",
    )

    def task(**options):
        return app.task(shared=False, **options)

    @task(name="parity.add")
    def add(x, y):
        return x + y

    @task(name="parity.total")
    def total(numbers):
        return sum(numbers)

    @task(name="parity.work", bind=True)
    def work(self, seconds=0.0):
        note("start", self.request.id)
        time.sleep(seconds)
        note("end", self.request.id)

    @task(name="parity.limited", bind=True, rate_limit="10/s", ignore_result=True)
    def limited(self):
        note("start", self.request.id)

    @task(name="parity.pid")
    def pid():
        return os.getpid()

    @task(name="parity.fail", bind=True)
    def fail(self, text="wrong"):
        note("start", self.request.id, str(self.request.retries))
        raise ValueError(text)

    @task(name="parity.auto", bind=True, autoretry_for=(ValueError,), max_retries=2, retry_backoff=1, retry_jitter=False)
    def auto(self, failures):
        note("start", self.request.id, str(self.request.retries))
        if self.request.retries < failures:
            raise ValueError(f"attempt {self.request.retries}")
        return self.request.retries

    @task(name="parity.manual", bind=True, max_retries=2, default_retry_delay=0.1)
    def manual(self):
        note("start", self.request.id, str(self.request.retries))
        raise self.retry(exc=KeyError("the cause"))

    @task(name="parity.ignored")
    def ignored():
        raise Ignore

    @task(name="parity.rejected", bind=True, acks_late=True)
    def rejected(self):
        note("start", self.request.id)
        raise Reject("no", requeue=False)

    @task(name="parity.late", bind=True, acks_late=True)
    def late(self):
        note("start", self.request.id)

    @task(name="parity.silent", ignore_result=True)
    def silent():
        return "unseen"

    @task(name="parity.progress", bind=True)
    def progress(self):
        self.update_state(state="HALFWAY", meta={"done": 1})
        time.sleep(1.0)
        return "done"

    @task(name="parity.about", bind=True)
    def about(self, *args, **kwargs):
        request = self.request
        return {
            "args": request.args, "kwargs": request.kwargs, "retries": request.retries, "eager": request.is_eager,
            "called_directly": request.called_directly, "delivery_info": request.delivery_info,
            "root": request.root_id == request.id,
            "parent": request.parent_id, "group": request.group, "timelimit": request.timelimit,
            "expires": bool(request.expires),
            "headers": request.headers, "reply": bool(request.reply_to), "late": self.acks_late is not None,
            "queue": (request.delivery_info or {}).get("routing_key"),
        }  # fmt: skip

    @task(name="parity.told")
    def told(*args):
        note("told", str(args[0] if args else None), type(args[0]).__name__ if args else "")
        return "told"

    @task(name="parity.failed")
    def failed(request, exc, traceback):
        note("failed", request.id, type(exc).__name__)

    @task(name="parity.slow", bind=True, soft_time_limit=0.5, time_limit=5)
    def slow(self):
        note("start", self.request.id)
        time.sleep(30)

    @task(name="parity.slow_hard", bind=True, time_limit=1)
    def slow_hard(self):
        note("start", self.request.id)
        time.sleep(30)

    return app


def watch() -> None:
    """Write down which signals a worker sends for which task."""
    for name in WATCHED:

        def heard(sender=None, name=name, **told):
            request = told.get("request")
            task_id = (
                told.get("task_id") or getattr(request, "id", None) or getattr(getattr(sender, "request", None), "id", None)
            )
            note("signal", str(task_id), name)

        getattr(signals, name).connect(heard, weak=False, dispatch_uid=f"parity.{name}")


app = make()
if os.environ.get("PARITY_WORKER"):
    watch()
