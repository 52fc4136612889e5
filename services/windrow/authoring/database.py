"""`DatabaseSessionLocal`: sessions on the database of DATABASE_URL, on whichever event loop they are used."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import threading
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, configure_mappers
from sqlalchemy.pool import NullPool

from windrow.authoring.loop import event_loop, on_event_loop
from windrow.records.engine import make_engine
from windrow.settings import Settings

logger = logging.getLogger(__name__)

POOL_SIZE = 5
"""Connections that a process keeps; a prefork child, which runs one task at a time, opens one."""
MOST_KEPT = 20
"""Connections that a worker whose tasks share a process keeps, at most; it has one for each slot up to this."""
MAX_OVERFLOW = 10
RECYCLE_SECONDS = 1800
"""Age at which a connection is replaced: before the usual firewalls forget it."""
_EXIT_SECONDS = 1.0


class SharedEngine(AsyncEngine):
    """The engine of Windrow's loop, which all tasks of a process share."""

    async def dispose(self, close: bool = True) -> None:
        """Nothing: other tasks use these connections, and the process closes them at its end."""


class LoopSession(Session):
    """A session on the engine of the loop that it runs on, unless it was given another."""

    def get_bind(self, mapper: Any = None, *, bind: Any = None, **options: Any) -> Engine | Connection:
        """The given engine, or the running loop's."""
        if bind is not None or self.bind is not None:
            return super().get_bind(mapper, bind=bind, **options)
        return get_engine().sync_engine


DatabaseSessionLocal: async_sessionmaker[AsyncSession] = async_sessionmaker(
    class_=AsyncSession, sync_session_class=LoopSession, expire_on_commit=False
)
"""Makes an async session: `async with DatabaseSessionLocal() as session: …`."""

_lock = threading.Lock()
_kept = POOL_SIZE
_shared: SharedEngine | None = None
_of_other_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()
_inherited: list[object] = []


def keep_connections(slots: int) -> None:
    """Let a process that runs `slots` tasks at a time keep a connection for each, up to a bound; before the first is opened."""
    global _kept
    _kept = min(max(slots, POOL_SIZE), MOST_KEPT)


def prepare() -> None:
    """Import the driver and read the mapped classes, so that a child forked after this has them."""
    make_engine(_url(), poolclass=NullPool)  # imports asyncpg; it connects to nothing
    configure_mappers()


def get_engine() -> AsyncEngine:
    """The engine of the running loop: with a pool on Windrow's, which lives on; one connection for each session on others.

    Raises RuntimeError outside a loop, and when DATABASE_URL is not set.
    """
    global _shared
    if on_event_loop():
        if _shared is None:
            _shared = _make_shared()
        return _shared
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError("the engine must be asked for in a coroutine: each event loop has one of its own") from None
    engine = _of_other_loops.get(loop)
    if engine is None:
        engine = make_engine(_url(), poolclass=NullPool)
        with _lock:
            _of_other_loops[loop] = engine
    return engine


def _make_shared() -> SharedEngine:
    engine = make_engine(
        _url(),
        pool_size=_kept,
        max_overflow=MAX_OVERFLOW,
        pool_recycle=RECYCLE_SECONDS,
        pool_use_lifo=True,
    )
    # The loop runs all the time and has heard when the server closed a connection: asking it costs no round trip.
    event.listen(engine.sync_engine, "checkout", _replace_closed)
    atexit.register(_close_at_exit, os.getpid())
    return SharedEngine(engine.sync_engine)


def _replace_closed(connection: Any, record: object, proxy: object) -> None:
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server closed this connection; it is replaced")


def _url() -> str:
    url = Settings.from_env().database_url
    if url is None:
        raise RuntimeError(
            "DATABASE_URL must be set to the database of DatabaseSessionLocal: postgresql://user:password@host/name"
        )
    return url


def _close_at_exit(pid: int) -> None:
    if _shared is None or os.getpid() != pid:
        return
    closing = asyncio.run_coroutine_threadsafe(AsyncEngine.dispose(_shared), event_loop())
    try:
        closing.result(_EXIT_SECONDS)
    except Exception as exc:  # noqa: BLE001 - the process ends; PostgreSQL notices by itself
        logger.debug("connections were left to the operating system: %s", exc)


def _after_fork() -> None:
    # The parent's connections must not be spoken on, nor closed by a collection here.
    global _lock, _shared, _of_other_loops
    _inherited.extend((_shared, _of_other_loops))
    _lock = threading.Lock()
    _shared, _of_other_loops = None, WeakKeyDictionary()


os.register_at_fork(after_in_child=_after_fork)
