"""Fixtures for the tests of your own tasks: real servers, real workers, real records.

Loaded in every pytest run, so nothing of Windrow is imported before a fixture asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from windrow.testing.executions import ExecutionRecord
    from windrow.testing.platform import Platform
    from windrow.testing.workers import WorkerProcess


@pytest.fixture(scope="session")
def windrow_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An embedded Redis and PostgreSQL with Windrow's tables, and the server process that writes the records.

    For the session REDIS_URL and DATABASE_URL name these servers, so `DatabaseSessionLocal` works in a test too.
    """
    from windrow.testing.platform import Platform

    with Platform(tmp_path_factory.mktemp("windrow")) as platform:
        yield platform


@pytest.fixture(scope="session")
def windrow_app(windrow_platform: Platform) -> Any:
    """The Celery app under test, publishing to the platform: Windrow's own, unless your conftest.py says otherwise.

    ```python
    @pytest.fixture(scope="session")
    def windrow_app(windrow_platform):
        return windrow_platform.install(myproject.celery.app)
    ```
    """
    from windrow.authoring.app import app

    return windrow_platform.install(app)


@pytest.fixture(scope="session")
def windrow_worker(windrow_platform: Platform) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a real worker: `windrow_worker(app, queue, concurrency=2, **spec)`, once for each app, queue and spec.

    `app` is a Celery app that can be imported, or its path (`"myproject.celery:app"`); `spec` is what `windrow.yaml` may say of
    a queue, as `timeLimits={"soft": "2s", "hard": "4s"}`. It returns when the worker takes tasks (`wait=False`: at
    once, and `.ready()` waits); all are drained at the end.
    """
    from windrow.testing.workers import Workers

    with Workers(windrow_platform) as workers:
        yield workers.start


@pytest.fixture(scope="session")
def windrow_execution(windrow_platform: Platform) -> Callable[..., ExecutionRecord]:
    """Waits for a final state and returns the record: `windrow_execution(result_or_task_id, timeout=30)`.

    With `until`, a predicate over the record, it waits for that instead: `until=lambda record: record.state == "retrying"`.
    """
    return windrow_platform.execution
