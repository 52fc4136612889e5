"""One operator process: wait for the Lease, look at everything once, then watch, reconcile and scale until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, NoReturn

import kopf
import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from windrow_operator import names
from windrow_operator.api import Api
from windrow_operator.cluster import ApiError
from windrow_operator.config import Config
from windrow_operator.handlers import Keeping, Sweep, registered
from windrow_operator.lease import LeaseKeeper
from windrow_operator.login import log_in
from windrow_operator.metrics import OperatorMetrics
from windrow_operator.reconciler import Reconciler
from windrow_operator.scaler import Scaler
from windrow_operator.watched import Watched

LOST = 1
"""The exit code when the Lease is lost: whoever starts it again stands in line anew."""
RETRIES_TOLD_SECONDS = 10.0
"""Between two lines about kopf's retries."""
FILL_SECONDS = 5.0
"""Between two tries to see everything once."""

_log = structlog.get_logger(__name__)


def run(config: Config, login: Callable[[], kopf.ConnectionInfo] = log_in) -> NoReturn:
    """Run until SIGTERM or SIGINT (exit code 0), or until the Lease is lost or a part fails (1), and end the process.

    Raises ApiError when there is nothing to log in with, OSError when its port is in use.
    """
    from windrow.logs import configure

    configure(config.log_format)
    # kopf tells each event that it handles.
    for name in ("kopf", "kopf.objects", "kopf.activities"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("kopf._cogs.clients.watching").addFilter(Seldom(RETRIES_TOLD_SECONDS))
    try:
        code = asyncio.new_event_loop().run_until_complete(Operator(config, login).run())
    except SystemExit:
        code = LOST
    # At once: kopf waits without end for those of its tasks that the closing of a loop cancels.
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class Seldom(logging.Filter):
    """Lets one record through in so many seconds, and only its beginning.

    While the API server is away kopf tells each retry of each watch, with all that it knows of the connection.
    """

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._every_s, self._clock, self._next = every_s, clock, float("-inf")

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is told."""
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._every_s
        record.msg, record.args = record.getMessage()[:300], ()
        return True


class Operator:
    """The parts of one process, in the order in which they come up."""

    def __init__(self, config: Config, login: Callable[[], kopf.ConnectionInfo]) -> None:
        self._config, self._login = config, login
        self._registry = CollectorRegistry()
        self._metrics = OperatorMetrics(self._registry)
        self._api = Api(login, self._metrics)
        self._lease = LeaseKeeper(self._api, config.namespace, config.identity)
        self._api.may_write = lambda: self._lease.leads
        self._watched = Watched()
        self._keeping = Keeping(self._watched)
        self._stop = asyncio.Event()

    async def run(self) -> int:
        """Everything, to its end; the process's exit code."""
        self._heed_signals()
        async with self._api, self._page():
            stopping = asyncio.create_task(self._stop.wait())
            if not await _first(self._lease.win(), stopping):
                return 0
            self._metrics.leads(True)
            keeping = asyncio.create_task(self._lease.keep())
            try:
                if await _first(self._look(), stopping, keeping):
                    await self._work(stopping, keeping)
                if keeping.done() and not keeping.cancelled():
                    return LOST
                keeping.cancel()
                await self._lease.release()
                return 0
            finally:
                self._metrics.leads(False)

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _look(self) -> None:
        """See everything once, however long that takes."""
        sweep = self._sweep = Sweep(self._watched, self._keeping, self._api, self._config.watched)
        while True:
            try:
                await sweep.fill()
            except ApiError as error:
                hint = "; is the CRD installed?" if error.code == 404 else ""
                _log.warning("the cluster could not be looked at", error=f"{error}{hint}")
                await asyncio.sleep(FILL_SECONDS)
            else:
                _log.info("watching", queueworkers=len(self._watched.entries), namespaces=self._config.watched or "all")
                return

    async def _work(self, stopping: asyncio.Task[bool], keeping: asyncio.Task[None]) -> None:
        """Watch, reconcile, scale; returns when told to stop, or when the Lease is lost."""
        config, stop = self._config, asyncio.Event()
        scaler = Scaler(
            self._watched, self._api, self._metrics, redis_url=config.redis_url, key_prefix=config.platform.key_prefix
        )
        reconciler = Reconciler(self._watched, self._api, config.platform, self._metrics, self._api, config.watched)
        parts = {
            asyncio.create_task(scaler.run(stop), name="scaler"),
            asyncio.create_task(reconciler.run(stop), name="reconciler"),
            asyncio.create_task(self._sweep.run(), name="sweep"),
        }
        watching: asyncio.Task[None] = asyncio.create_task(self._watch(stop), name="kopf")
        # A part that ends by itself, or fails, ends the process: half an operator must not hold the Lease.
        ended, _ = await asyncio.wait({stopping, keeping, watching, *parts}, return_when=asyncio.FIRST_COMPLETED)
        stop.set()
        for task in parts:
            task.cancel()
        await asyncio.wait(parts, timeout=2.0)
        failed = [task for task in ended if task in {watching, *parts} and not task.cancelled() and task.exception()]
        for part in failed:
            _log.error("a part of the operator failed", part=part.get_name(), error=repr(part.exception()))
        if not keeping.done():
            # Nobody here writes any more; kopf, which never does, ends with the process.
            keeping.cancel()
            await self._lease.release()
        if failed:
            raise SystemExit(LOST)

    async def _watch(self, stop: asyncio.Event) -> None:
        # kopf names itself after its user, and a pod's uid need not be one that the image knows.
        os.environ.setdefault("LOGNAME", "windrow")
        settings = kopf.OperatorSettings()
        settings.posting.enabled = False
        settings.scanning.disabled = True
        settings.watching.label_selectors["apps", "v1", "deployments"] = names.MANAGED_SELECTOR
        settings.watching.label_selectors["", "v1", "pods"] = names.MANAGED_SELECTOR
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=registered(self._keeping, self._sweep.relisted, self._login),
            settings=settings,
            standalone=True,
            clusterwide=not self._config.watched,
            namespaces=self._config.watched,
            stop_flag=stop,
        )
        self._heed_signals()  # kopf took them, and takes seconds to stop
        await kopf.run_tasks(tasks, ignored=ours)

    @contextlib.asynccontextmanager
    async def _page(self) -> AsyncIterator[None]:
        """`/metrics`, `/livez` and `/readyz`: a process that waits for the Lease is as ready as the one that leads."""

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=generate_latest(self._registry), content_type="text/plain")

        async def fine(_: web.Request) -> web.Response:
            return web.Response(text="ok\n")

        app = web.Application()
        app.add_routes([web.get("/metrics", metrics), web.get("/livez", fine), web.get("/readyz", fine)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, self._config.host, self._config.port)
        await site.start()
        _log.info("operator", manager=names.MANAGER, address=str(runner.addresses[0]), identity=self._config.identity)
        try:
            yield
        finally:
            await runner.cleanup()


async def _first(work: Coroutine[Any, Any, None], *others: asyncio.Task[Any]) -> bool:
    """Whether `work` ended before any of `others` did; it is cancelled otherwise."""
    task = asyncio.ensure_future(work)
    await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        return False
    task.result()
    return True
