"""The site that the demo's tasks fetch from: a small HTTP server in a thread of this process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from types import TracebackType
from typing import Self

from aiohttp import web

LATENCY_S = 0.03
"""What a server some way off takes to answer."""
BUSY_TIMES = 2
"""How often `/busy/…` answers 503 before it answers."""


class Site:
    """Serves `/steps/N` (a document), `/busy/N` (503 twice, then the document); anything else is 404."""

    def __init__(self) -> None:
        self.url = ""
        self._asked: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="demo-site", daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_get("/steps/{number}", self._document)
        app.router.add_get("/busy/{number}", self._busy)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _document(self, request: web.Request) -> web.Response:
        await asyncio.sleep(LATENCY_S)
        number = request.match_info["number"]
        return web.json_response({"step": number, "lines": [f"{number}:{line}" for line in range(50)]}, dumps=json.dumps)

    async def _busy(self, request: web.Request) -> web.Response:
        self._asked[request.path] += 1
        if self._asked[request.path] <= BUSY_TIMES:
            return web.Response(status=503, text="busy", headers={"Retry-After": "1"})
        return await self._document(request)
