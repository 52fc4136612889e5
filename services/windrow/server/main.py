"""`windrow server`: one of several service processes; they share the work by one of them leading."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from windrow import logs
from windrow.broker.client import connect
from windrow.broker.leader import Leadership
from windrow.queues.defaults import default_specs
from windrow.queues.load import load_specs
from windrow.records.engine import make_engine
from windrow.records.recorder import Recorder
from windrow.server import dispatching, leading, reconciling, recording, upkeep
from windrow.server.api import SERVICE, make_app
from windrow.server.platform import Platform
from windrow.server.word import PROBE_SECONDS, Word
from windrow.settings import Settings

_log = structlog.get_logger(__name__)

_STOP_S = 1.8
"""After a signal the parts have this long to finish what they are at."""

_TURN_S = 0.001
"""How long a thread may keep the interpreter from others that want it."""

REFUSED = 2
"""The exit code when the server can't start as it is configured."""


class RefusedError(Exception):
    """The server can't start as it is configured; the text says why, in one sentence."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the process's exit code: 0, or 2 after one sentence on standard error."""
    logs.configure(settings.log_format)
    try:
        platform = _configured(settings)
    except ValueError as error:
        return _refused(error)
    # A page for Prometheus is made in a thread; the loop gets its turn sooner than by default (5 ms).
    sys.setswitchinterval(_TURN_S)
    try:
        asyncio.run(_serve(platform, settings))
    except RefusedError as error:
        return _refused(error)
    return 0


def _refused(error: Exception) -> int:
    print(error, file=sys.stderr)
    return REFUSED


def _configured(settings: Settings) -> Platform:
    """The platform that the settings describe, nothing opened yet; raises ValueError with one sentence."""
    if settings.redis_url is None:
        raise ValueError("REDIS_URL must say where Redis is, e.g. redis://127.0.0.1:6379/0, but it is not set")
    if settings.database_url is None:
        raise ValueError("DATABASE_URL must say where PostgreSQL is, e.g. postgresql://user@host/name, but it is not set")
    specs = load_specs(settings.specs) if settings.specs else default_specs()
    engine = make_engine(settings.database_url, pool_size=5)
    client = connect(settings.redis_url, key_prefix=settings.key_prefix)
    return Platform(
        client=client,
        engine=engine,
        recorder=Recorder(engine, stream=client.keys_of.events),
        redis_url=settings.redis_url,
        token=f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}",
        outboxes=tuple(_outbox(url) for url in settings.outboxes),
        max_recoveries={spec.spec.queue: spec.spec.max_recoveries for spec in specs},
        most_events=settings.most_events,
    )


def _outbox(url: str) -> AsyncEngine:
    try:
        return make_engine(url, pool_size=1)
    except (ValueError, SQLAlchemyError):  # neither may repeat the URL, which carries a password
        raise ValueError("WINDROW_OUTBOXES must be PostgreSQL URLs with commas between them; one of them is none") from None


async def _serve(platform: Platform, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, platform.stop.set)
    leadership = Leadership(platform.client, platform.token)
    duties = leading.Duties(platform)
    word = Word(connect(platform.redis_url, timeout=PROBE_SECONDS, key_prefix=settings.key_prefix), leadership, duties.recovery)
    app = make_app(platform)
    app.add_routes(word.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    announced: Path | None = None
    try:
        port = await _listen(runner, settings)
        platform.address = f"{_reachable(settings.host)}:{port}"
        platform.advertised = settings.advertise or platform.address
        announced = _announce(settings.state_dir, f"http://{platform.address}")
        _log.info("the server listens", url=f"http://{platform.address}")
        leader = leading.lead(platform, leadership, duties, word)
        await _work(platform, leader, settings.database_url or "")
    finally:
        if announced is not None:
            announced.unlink(missing_ok=True)
        await runner.cleanup()
        for engine in (platform.engine, *platform.outboxes):
            await engine.dispose()
        platform.client.close()
        word.close()


async def _work(platform: Platform, leader: Coroutine[Any, Any, None], database_url: str) -> None:
    recorder = asyncio.create_task(recording.record(platform), name="recorder")
    tasks = [
        recorder,
        asyncio.create_task(leader, name="leader"),
        asyncio.create_task(dispatching.dispatch(platform), name="dispatcher"),
        asyncio.create_task(reconciling.reconcile(platform), name="reconciler"),
        asyncio.create_task(upkeep.migrate(platform, database_url), name="migration"),
        asyncio.create_task(upkeep.keep(platform), name="upkeep"),
    ]
    stopping = asyncio.create_task(platform.stop.wait())
    waiting: set[asyncio.Task[Any]] = {stopping, *tasks}
    try:
        while not stopping.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()  # a part that broke ends the server: its supervisor starts another
        _log.info("stopping")
    finally:
        platform.stop.set()
        _, late = await asyncio.wait(tasks, timeout=_STOP_S)
        for task in late:
            _log.warning("not done in time; what it was at is begun again by the next leader", part=task.get_name())
            task.cancel()
        await asyncio.gather(*tasks, stopping, return_exceptions=True)


async def _listen(runner: web.AppRunner, settings: Settings) -> int:
    try:
        await web.TCPSite(runner, settings.host, settings.port).start()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        holder = await _holder(settings.host, settings.port)
        raise RefusedError(
            f"the server's port {settings.host}:{settings.port} must be free, but {holder} listens on it; "
            "set WINDROW_PORT to another one, or to 0 for any free one"
        ) from error
    return int(runner.addresses[0][1])


async def _holder(host: str, port: int) -> str:
    """Who listens there, as far as it tells: another Windrow server does."""
    unknown = "another process"
    try:
        async with (
            ClientSession(timeout=ClientTimeout(total=1)) as session,
            session.get(f"http://{_reachable(host)}:{port}/healthz") as answer,
        ):
            told = await answer.json()
    except (ClientError, OSError, ValueError):
        return unknown
    if isinstance(told, dict) and told.get("service") == SERVICE:
        return f"another Windrow server (pid {told.get('pid')})"
    return unknown


def _reachable(host: str) -> str:
    """The address under which others on the network, or this machine, reach what listens on `host`."""
    return socket.gethostname() if host in ("0.0.0.0", "::", "") else host  # noqa: S104  # compared, not bound


def _announce(state_dir: Path, url: str) -> Path | None:
    """Write `server.json` into the state folder of a platform on one machine, if there is one."""
    if not state_dir.is_dir():
        return None
    path = state_dir / "server.json"
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_text(json.dumps({"url": url, "pid": os.getpid()}) + "\n")
    fresh.replace(path)
    return path
