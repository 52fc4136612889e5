"""The leading server's word: whether a worker that can't reach Redis may go on.

While Redis doesn't answer the leader either, nobody counts the worker's silence: the leader says "wait", and promises not to
count it for the length of a lease. A leader whose own lease has run out meanwhile asks the other servers first: one of them
may lead.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp import ClientConnectorError, ClientError, ClientSession, ClientTimeout, web

from windrow.broker.client import Client
from windrow.broker.leader import Leadership
from windrow.broker.recovery import Recovery
from windrow.server.platform import REDIS_AWAY

PROBE_SECONDS: Final = 0.4
"""How long Redis has for an answer before it counts as away; the worker that asks waits a second for its own."""
FRESH_SECONDS: Final = 0.3
"""How long what a look found holds for others who ask."""


class Word:
    """Answers `POST /lease` (a worker asks) and `GET /lease` (another server asks)."""

    def __init__(self, client: Client, leadership: Leadership, recovery: Recovery) -> None:
        """`client` must wait no longer than `PROBE_SECONDS` and is this word's own."""
        self.secret = secrets.token_hex(16)
        """What a worker must show: whoever can read Redis has it."""
        self._client, self._leadership, self._recovery = client, leadership, recovery
        self._held_at: float | None = None
        self._others: list[str] = []
        self._probing: asyncio.Task[bool] | None = None
        self._probed_at = float("-inf")
        self._away = False
        self._thread = ThreadPoolExecutor(1, "word")

    def routes(self) -> list[web.RouteDef]:
        """The routes of the server's API."""
        return [web.post("/lease", self._asked_by_worker), web.get("/lease", self._asked_by_server)]

    def held(self, others: list[str], at: float) -> None:
        """This server led at `at` (monotonic seconds, from before it asked), beside `others` (host:port)."""
        self._held_at, self._others = at, others

    def lost(self) -> None:
        """Another server leads."""
        self._held_at = None

    async def waits(self, worker: str) -> bool:
        """Whether the worker may go on though it can't reach Redis; then its silence is not counted for a lease's time."""
        asked = time.monotonic()
        if self._held_at is None or not await self._redis_is_away():
            return False
        if asked - self._held_at > self._leadership.ttl - 1 and not await self._nobody_else_leads():
            return False
        self._recovery.promise(worker, time.monotonic())
        return True

    async def _redis_is_away(self) -> bool:
        if time.monotonic() - self._probed_at < FRESH_SECONDS:
            return self._away
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._probe())
        return await asyncio.shield(self._probing)

    async def _probe(self) -> bool:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._client.ping)
        except REDIS_AWAY:
            self._away = True
        else:
            self._away = False
        self._probed_at = time.monotonic()
        return self._away

    async def _nobody_else_leads(self) -> bool:
        async with ClientSession(timeout=ClientTimeout(total=PROBE_SECONDS)) as session:
            return all(await asyncio.gather(*(self._lets_wait(session, other) for other in self._others)))

    async def _lets_wait(self, session: ClientSession, other: str) -> bool:
        """Whether another server surely doesn't lead: Redis is away from it too, or nothing listens there any more."""
        try:
            async with session.get(f"http://{other}/lease") as answer:
                told: Any = await answer.json()
        except ClientConnectorError as error:
            return isinstance(error.os_error, ConnectionRefusedError)
        except (ClientError, TimeoutError, OSError, ValueError):
            return False
        return isinstance(told, dict) and told.get("away") is True and told.get("leads") is False

    async def _asked_by_worker(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.secret}".encode()):
            return web.json_response({"error": "the token must be the one in the key windrow:server"}, status=403)
        try:
            worker = (await request.json())["worker"]
        except (ValueError, KeyError, TypeError):
            worker = None
        if not isinstance(worker, str) or not worker:
            return web.json_response({"error": 'the body must be {"worker": <worker id>}'}, status=400)
        return web.json_response({"wait": await self.waits(worker)})

    async def _asked_by_server(self, request: web.Request) -> web.Response:
        return web.json_response({"leads": self._held_at is not None, "away": await self._redis_is_away()})

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)
        self._client.close()
