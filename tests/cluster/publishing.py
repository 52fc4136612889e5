"""Tasks for played workers: each is its run time, nothing else."""

from __future__ import annotations

from celery import Celery

from windrow.authoring.install import install

_apps: dict[tuple[str, str], Celery] = {}


def publish(redis_url: str, queue: str, count: int, *, seconds: float, key_prefix: str = "") -> None:
    """Publish `count` tasks of `seconds` each, as a producer does."""
    app = _apps.get((redis_url, key_prefix))
    if app is None:
        app = _apps[redis_url, key_prefix] = Celery("played", set_as_current=False)
        install(app, redis_url, key_prefix)
    with app.producer_or_acquire() as producer:
        for _ in range(count):
            app.send_task("played.nap", (seconds,), queue=queue, producer=producer, ignore_result=True)
