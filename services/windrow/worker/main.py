"""`windrow worker`: one worker process tree for one QueueWorker, in the foreground."""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import Any

import redis
from celery.apps.worker import Worker as StockWorker
from celery.worker import state as celery_state
from prometheus_client import CollectorRegistry

from windrow.authoring.install import install
from windrow.authoring.tracing import trace_tasks
from windrow.broker.client import Client, connect
from windrow.broker.fence import Fence, stand_behind
from windrow.broker.lease import ANSWER_SECONDS
from windrow.broker.untold import TASK as TELL_LOST
from windrow.metrics.worker import WorkerMetrics
from windrow.queues.derive import Derived, Limits, capped_sentence, derive, effective_limits
from windrow.queues.model import QueueWorker
from windrow.settings import Settings
from windrow.worker import remote  # noqa: F401 - its commands take the place of Celery's
from windrow.worker.guard import RECYCLED, Guard, Guarded, Keeping
from windrow.worker.logs import keep_tails, set_up_logging
from windrow.worker.pools import IN_PROCESS, POOLS
from windrow.worker.pools.inprocess import InProcessPool
from windrow.worker.port import Port
from windrow.worker.session import Session, worker_id
from windrow.worker.warden import post

logger = logging.getLogger(__name__)

CALL_SECONDS = 3.0
"""How long a call off the hot path may take."""


class Worker(StockWorker):
    """Celery's worker, with Windrow's signals and its session."""

    windrow: Session

    def install_platform_tweaks(self, worker: Any) -> None:
        """SIGTERM and SIGINT: drain; a second one: stop at once and hand back. No restart on SIGHUP."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.windrow.on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def load_app(path: str) -> Any:
    """The Celery app `module:name`; raises ImportError or AttributeError with Celery's own words."""
    from celery.app.utils import find_app

    return find_app(path)


def run(spec: QueueWorker, settings: Settings) -> int:
    """Serve a queue until a signal; returns the process's exit code.

    Raises ImportError or AttributeError when the app can't be loaded, OSError when the metrics port is in use.
    """
    derived = derive(spec)
    app = load_app(derived.app)
    if settings.redis_url is None and not app.conf.broker_url:
        raise ValueError("REDIS_URL must say where Redis is, e.g. redis://127.0.0.1:6379/0")
    install(app, settings.redis_url, settings.key_prefix)
    set_up_logging(app, settings.log_format, _log_level())

    def client(timeout: float) -> Client:
        return connect(settings.redis_url or app.conf.broker_url, timeout=timeout, key_prefix=settings.key_prefix)

    fence = Fence()
    stand_behind(fence)
    post(fence)
    worker = worker_id(derived.queue)
    port = Port(settings.host, settings.worker_metrics_port)
    if derived.pool not in IN_PROCESS:
        keeping = Keeping(client(ANSWER_SECONDS), fence)
        return _serve(app, spec, derived, settings, client(CALL_SECONDS), worker, port, keeping)

    def serve(guarded: Guarded) -> int:
        return _serve(app, spec, derived, settings, client(CALL_SECONDS), guarded.worker, port, guarded)

    return Guard(
        worker=worker,
        queue=derived.queue,
        places=derived.concurrency * 2,  # a task that was told to end may go on for a moment beside its successor
        max_recoveries=spec.spec.max_recoveries,
        client=client(CALL_SECONDS),
        keeping=Keeping(client(ANSWER_SECONDS), fence),
        port=port,
        serve=serve,
    ).run()


def _serve(
    app: Any, spec: QueueWorker, derived: Derived, settings: Settings, client: Client, worker_id: str, port: Port,
    kept: Keeping | Guarded,
) -> int:  # fmt: skip
    """One worker process, from its start to its end; `kept`: what it keeps its lease with, or its guard, which does.

    The port is answered here, or by the guard.
    """
    guarded = kept if isinstance(kept, Guarded) else None
    app.conf.update(derived.celery_settings)
    app.conf.worker_consumer = "windrow.worker.consumer:Consumer"
    app.conf.worker_pool = POOLS[derived.pool]
    if guarded is not None:
        from windrow.authoring.database import keep_connections

        InProcessPool.board, InProcessPool.vitals = guarded.board, guarded.vitals
        keep_connections(derived.concurrency)
    metrics = WorkerMetrics(CollectorRegistry(), derived.queue, derived.concurrency)
    host = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 - compared, not bound
    session = Session(
        name=spec.metadata.name,
        derived=derived,
        max_recoveries=spec.spec.max_recoveries,
        client=client,
        metrics=metrics,
        address=f"{host}:{port.number}",
        worker=worker_id,
        kept=kept,
    )
    if guarded is not None:
        guarded.relay.serve(metrics.page)
    else:
        port.start(session.probes(), metrics.page)
    worker = Worker.__new__(Worker)
    worker.windrow = session
    session.stop = lambda: _stop(session)
    worker.__init__(  # type: ignore[misc]  # the session must be there before Celery builds its parts
        app=app,
        hostname=f"{spec.metadata.name}-{os.getpid()}@{socket.gethostname()}",
        concurrency=derived.concurrency,
        pool=POOLS[derived.pool],
        queues=[derived.queue],
        # What `inspect stats` shows; each attempt's own come with its request. As the app's settings they would stand in for a
        # task's own missing soft limit.
        time_limit=derived.hard_s,
        soft_time_limit=derived.soft_s,
        loglevel=_log_level(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    keep_tails()
    trace_tasks()
    own = [name for name in app.tasks if not name.startswith("celery.") and name != TELL_LOST]
    metrics.known(own)
    capped = _capped(app, own, derived)
    if sentence := capped_sentence(derived, capped):
        logger.warning(sentence)
    session.capped(capped)
    worker.start()
    if session.recycling is not None:
        return RECYCLED[session.recycling]
    try:
        session.leave()
    except redis.RedisError as error:
        logger.warning("could not say goodbye to Redis: %s", error)

    return int(worker.exitcode or 0)


def _log_level() -> str:
    return os.environ.get("WINDROW_LOG_LEVEL", "INFO")


def _stop(session: Session) -> None:
    celery_state.should_stop = 0
    wake = getattr(session.pool, "wake", None)
    if wake is not None:  # Celery looks at its state when its hub has polled
        wake()


def _capped(app: Any, names: list[str], derived: Derived) -> list[str]:
    return [
        name
        for name in names
        if effective_limits(Limits(), Limits(app.tasks[name].soft_time_limit, app.tasks[name].time_limit), derived).capped
    ]
