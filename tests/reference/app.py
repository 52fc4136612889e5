"""A Celery app of somebody who has not heard of Windrow, with the reference's tasks."""

from celery import Celery

app = Celery(
    "reference",
    include=[
        "windrow_tasks.examples.mymodule",
        "windrow_tasks.examples.options",
        "windrow_tasks.examples.manual_retry",
        "windrow_tasks.examples.progress",
        "windrow_tasks.examples.queues",
        "windrow_tasks.examples.chained",
        "windrow_tasks.examples.errors",
        "tests.reference.own",
    ],
)
