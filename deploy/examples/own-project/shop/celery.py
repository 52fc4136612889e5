"""The project's Celery app, as it was; the last line is all that Windrow needs."""

from celery import Celery

import windrow

app = Celery("shop", include=["shop.orders"])
app.conf.task_routes = {"shop.orders.*": {"queue": "orders"}}
windrow.install(app)
