"""The server over HTTP: /metrics and /sd for Prometheus, /livez, /readyz, /healthz, and the records under /api."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from aiohttp import web

from windrow.broker import observe
from windrow.records import repository
from windrow.server.exposition import Self, render
from windrow.server.figures import Sources
from windrow.server.platform import DATABASE_AWAY, REDIS_AWAY, Platform

_PLATFORM = web.AppKey("platform", Platform)
_SOURCES = web.AppKey("sources", Sources)

SERVICE = "windrow-server"
"""How /healthz names itself, so that a port's holder can be told."""


def make_app(platform: Platform) -> web.Application:
    """The application; its handlers only read."""
    app = web.Application(middlewares=[_errors])
    app[_PLATFORM] = platform
    app[_SOURCES] = Sources(platform)
    app.router.add_get("/metrics", _metrics)
    app.router.add_get("/sd", _sd)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/livez", _turning)
    app.router.add_get("/readyz", _turning)
    app.router.add_get("/api/queues", _queues)
    app.router.add_get("/api/executions", _executions)
    app.router.add_get("/api/executions/{id}", _execution)
    app.router.add_get("/api/executions/{id}/log", _log)
    app.router.add_get("/api/totals", _totals)
    app.router.add_get("/api/lag", _lag)
    app.router.add_get("/api/outbox", _outbox)
    return app


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _json({"error": f"{request.path}: {error.reason}"}, status=error.status)
    except ValueError as error:
        return _json({"error": str(error)}, status=400)
    except REDIS_AWAY as error:
        return _json({"error": f"Redis can't be read now: {error}"}, status=503)
    except DATABASE_AWAY as error:
        return _json({"error": f"the records can't be read now: {error}"}, status=503)


async def _metrics(request: web.Request) -> web.Response:
    platform = request.app[_PLATFORM]
    leader = platform.leading.is_set()
    figures = await request.app[_SOURCES].figures() if leader else None
    server = Self(
        leads=leader,
        redis_up=platform.redis_away is None and (figures is None or figures.readings is not None),
        database_up=platform.database_away is None and (figures is None or figures.totals is not None),
    )
    # Some hundred thousand lines would hold up the loop.
    body = await asyncio.to_thread(lambda: render(server, figures).encode())
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def _sd(request: web.Request) -> web.Response:
    platform = request.app[_PLATFORM]
    groups = [{"targets": [platform.address], "labels": {"__meta_windrow_role": "server"}}]
    for worker in await asyncio.to_thread(observe.workers, platform.client):
        if worker.metrics:
            labels = {
                "__meta_windrow_role": "worker",
                "__meta_windrow_queue": worker.queue,
                "__meta_windrow_worker": worker.id,
            }
            groups.append({"targets": [worker.metrics], "labels": labels})
    return _json(groups)


async def _turning(request: web.Request) -> web.Response:
    """The loop turns. Not more: a Redis or PostgreSQL that is away must not restart or unready the servers."""
    return web.Response(text="ok\n")


async def _healthz(request: web.Request) -> web.Response:
    platform = request.app[_PLATFORM]
    return _json(
        {
            "service": SERVICE,
            "pid": os.getpid(),
            "leader": platform.leading.is_set(),
            "redis": platform.redis_away or "ok",
            "database": platform.database_away or ("ok" if platform.migrated.is_set() else "not migrated yet"),
            "dropped": platform.dropped,
        }
    )


async def _queues(request: web.Request) -> web.Response:
    readings = await request.app[_SOURCES].readings.get()
    return _json([dataclasses.asdict(reading) for _, reading in sorted(readings.items())])


async def _executions(request: web.Request) -> web.Response:
    query = request.query
    limit = query.get("limit", "50")
    if not limit.isdigit():
        raise ValueError(f"limit must be a number from 0 to {repository.LIMIT}, not {limit!r}")
    async with request.app[_PLATFORM].engine.connect() as connection:
        rows = await repository.list_executions(
            connection, queue=query.get("queue"), state=query.get("state"), task=query.get("task"), limit=int(limit)
        )
    return _json(rows)


async def _execution(request: web.Request) -> web.Response:
    name = request.match_info["id"]
    async with request.app[_PLATFORM].engine.connect() as connection:
        row = await repository.get_execution(connection, name)
        if row is None:
            return _unknown(name)
        kept = await repository.message(connection, row["id"])
        row["attempts"] = await repository.attempts(connection, row["id"])
        row["reports"] = await repository.reports(connection, row["id"])
    # The message itself may hold what the views leave out.
    row["message_bytes"] = None if kept is None else len(kept)
    return _json(row)


async def _log(request: web.Request) -> web.Response:
    name = request.match_info["id"]
    async with request.app[_PLATFORM].engine.connect() as connection:
        row = await repository.get_execution(connection, name)
        if row is None:
            return _unknown(name)
        return _json(await repository.logs(connection, row["id"]))


def _unknown(name: str) -> web.Response:
    return _json({"error": f"no execution has the id, execution_id argument or task id {name!r}"}, status=404)


async def _totals(request: web.Request) -> web.Response:
    names = ("kind", "queue", "task", "label", "value")
    return _json([dict(zip(names, row, strict=True)) for row in await request.app[_SOURCES].totals.get()])


async def _lag(request: web.Request) -> web.Response:
    # Never from the cache: who stops a platform waits for this to be 0.
    return _json(await asyncio.to_thread(request.app[_SOURCES].read_lag))


async def _outbox(request: web.Request) -> web.Response:
    return _json(dataclasses.asdict(await request.app[_SOURCES].outbox.get()))


def _json(value: Any, status: int = 200) -> web.Response:
    return web.json_response(value, status=status, dumps=_dumps)


def _dumps(value: Any) -> str:
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"an answer must be JSON, not {type(value).__name__}")
