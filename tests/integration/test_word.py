"""The leading server's word to workers that can't reach Redis."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from windrow.broker.client import Client, connect
from windrow.broker.leader import Leadership
from windrow.broker.lease import SECONDS
from windrow.broker.recovery import Recovery
from windrow.server.word import PROBE_SECONDS, Word

NOWHERE = "redis://127.0.0.1:9/0"


def _word(url: str) -> tuple[Word, Recovery]:
    client: Client = connect(url, timeout=PROBE_SECONDS)
    recovery = Recovery(client, {})
    return Word(client, Leadership(client, "this"), recovery), recovery


def _ask(word: Word) -> bool:
    return asyncio.run(word.waits("w"))


def _other(answer: Callable[[], web.Response]) -> Callable[[Callable[[str], Awaitable[bool]]], bool]:
    """Run with another server that answers `GET /lease` so; gives its address."""

    async def run(then: Callable[[str], Awaitable[bool]]) -> bool:
        async def handler(request: web.Request) -> web.Response:
            return answer()

        app = web.Application()
        app.router.add_get("/lease", handler)
        async with TestServer(app) as server:
            return await then(f"127.0.0.1:{server.port}")

    return lambda then: asyncio.run(run(then))


def test_a_leader_without_redis_says_wait_and_keeps_its_promise() -> None:
    """ "Wait" means that the worker's silence is not counted for a lease's time."""
    word, recovery = _word(NOWHERE)
    word.held([], time.monotonic())
    assert _ask(word)
    now = time.monotonic()
    silence = recovery._silence
    beats = {"w": b"1", "v": b"1"}
    for second in range(int(SECONDS) + 1):  # Redis is back at once; neither has beaten since
        silence.dead(beats, now - SECONDS - 1 + second)
    assert silence.dead(beats, now) == ["v"]


@pytest.mark.parametrize("leads", [True, False])
def test_a_leader_with_redis_and_a_server_that_does_not_lead_say_no(redis_url: str, leads: bool) -> None:
    """While Redis answers the leader the worker's silence counts; who does not lead promises nothing."""
    word, _ = _word(redis_url if leads else NOWHERE)
    if leads:
        word.held([], time.monotonic())
    assert not _ask(word)


def test_a_leader_whose_lease_may_have_run_out_asks_the_others() -> None:
    """It says "wait" only if Redis is away from each other server too, or nothing listens there any more."""

    def answering(told: Any) -> bool:
        async def then(address: str) -> bool:
            word, _ = _word(NOWHERE)
            word.held([address], time.monotonic() - SECONDS)
            return await word.waits("w")

        return _other(lambda: web.json_response(told))(then)

    assert answering({"leads": False, "away": True})
    assert not answering({"leads": True, "away": True})
    assert not answering({"leads": False, "away": False})
    assert not answering("nonsense")
    word, _ = _word(NOWHERE)
    word.held(["127.0.0.1:9"], time.monotonic() - SECONDS)
    assert _ask(word)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        word.held([f"127.0.0.1:{silent.getsockname()[1]}"], time.monotonic() - SECONDS)
        assert not _ask(word)
