"""What the client makes of an API server that is busy, away, or says no; the API server is a small one of the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import kopf
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from windrow_operator.api import LEASE_ANSWER_S, Api, _resource
from windrow_operator.cluster import ApiError, LeaseLost
from windrow_operator.lease import AGAIN_S, DURATION_S, MARGIN_S, RENEW_S
from windrow_operator.state import Key

KEY = Key("shop", "orders")


class _Meter:
    def __init__(self) -> None:
        self.calls: list[tuple[str, str, int]] = []

    def called(self, verb: str, resource: str, code: int) -> None:
        self.calls.append((verb, resource, code))


def _play(answers: list[web.Response], talk: Callable[[Api], Awaitable[Any]], tokens: list[str] | None = None) -> list[Any]:
    """Let `talk` speak to a server that gives `answers` in turn; returns the requests and the meter's calls."""
    asked: list[web.Request] = []
    meter = _Meter()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        asked.append(request)
        given = answers[min(len(asked), len(answers)) - 1]
        return web.Response(body=given.body, status=given.status, headers=given.headers)  # one is sent once

    async def play() -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(app) as server:
            given = iter(tokens or ["t"] * 9)
            login = lambda: kopf.ConnectionInfo(server=str(server.make_url("")).rstrip("/"), token=next(given))  # noqa: E731
            async with Api(login, meter) as api:
                await talk(api)

    asyncio.run(play())
    return [asked, meter.calls]


def _says(code: int, message: str = "no", **headers: str) -> web.Response:
    return web.json_response({"message": message}, status=code, headers=headers)


@pytest.mark.parametrize("code", [429, 500, 503, 409])
def test_a_busy_api_server_is_asked_again(code: int) -> None:
    """Overload, a passing fault or a conflict is no answer yet."""
    _, calls = _play([_says(code), web.json_response({"ok": 1})], lambda api: api.set_replicas(KEY, 3))
    assert calls == [("patch", "deployments", code), ("patch", "deployments", 200)]


def test_retry_after_is_kept() -> None:
    """The API server knows best when it has time again."""

    async def talk(api: Api) -> None:
        began = asyncio.get_running_loop().time()
        await api.set_replicas(KEY, 3)
        assert asyncio.get_running_loop().time() - began >= 1.0

    _play([_says(429, **{"Retry-After": "1"}), web.json_response({})], talk)


def test_a_refusal_is_the_api_servers_own_sentence_and_not_repeated() -> None:
    """What it will not take now, it will not take later."""

    async def talk(api: Api) -> None:
        with pytest.raises(ApiError) as caught:
            await api.set_replicas(KEY, 3)
        assert (caught.value.code, str(caught.value)) == (422, "the API server said: replicas must be small")

    asked, _ = _play([_says(422, "replicas must be small")], talk)
    assert len(asked) == 1


def test_what_the_api_server_cannot_read_is_a_refusal_too() -> None:
    """It answers 500 to an apply with a quantity that is none, or with an unknown field."""

    async def talk(api: Api) -> None:
        with pytest.raises(ApiError, match="quantities must match") as caught:
            await api.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x", "namespace": "shop"}})
        assert caught.value.code == 422

    asked, _ = _play([_says(500, "failed to convert new object (x): quantities must match")], talk)
    assert len(asked) == 1


def test_nothing_is_written_without_the_lease_not_even_a_second_try() -> None:
    """The right to write is looked at before each try."""

    async def talk(api: Api) -> None:
        leads = iter([True, False])
        api.may_write = lambda: next(leads)
        with pytest.raises(LeaseLost):
            await api.set_replicas(KEY, 3)

    asked, _ = _play([_says(503)], talk)
    assert len(asked) == 1


def test_a_token_that_ran_out_is_replaced_by_the_next_one() -> None:
    """A pod's token is written anew every hour."""
    asked, _ = _play([_says(401), web.json_response({})], lambda api: api.set_replicas(KEY, 3), ["old", "new"])
    assert [request.headers["Authorization"] for request in asked] == ["Bearer old", "Bearer new"]


def test_calls_that_are_refused_together_log_in_once() -> None:
    """A second new login would close the first one's connections under the others' calls."""
    answers = [_says(401), _says(401), web.json_response({})]
    both = lambda api: asyncio.gather(api.set_replicas(KEY, 1), api.set_replicas(KEY, 2))  # noqa: E731
    asked, _ = _play(answers, both, ["old", "new", "newer"])
    assert [request.headers["Authorization"] for request in asked] == ["Bearer old"] * 2 + ["Bearer new"] * 2


def test_a_dead_connection_leaves_the_lease_time_for_another_try() -> None:
    """Two tries that are not answered fit into what a holder believes."""
    assert RENEW_S + 2 * (LEASE_ANSWER_S + AGAIN_S) <= DURATION_S - MARGIN_S


def test_what_is_gone_needs_no_marks_and_no_status() -> None:
    """A pod or a QueueWorker may go at any time."""

    async def talk(api: Api) -> None:
        await api.annotate_pod("shop", "orders-1", {"a": None})
        await api.apply_status(KEY, {})
        assert await api.read({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x"}}) is None

    _play([_says(404)], talk)


def test_an_api_server_that_is_away_is_one_sentence() -> None:
    """And code 0."""

    async def talk() -> None:
        async with Api(lambda: kopf.ConnectionInfo(server="http://127.0.0.1:1")) as api:
            with pytest.raises(ApiError, match="the API server must answer, and does not") as caught:
                await api.call("GET", "/api", patience=0)
            assert caught.value.code == 0

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/apis/apps/v1/namespaces/shop/deployments/orders?fieldManager=x", "deployments"),
        ("/apis/windrow.dev/v1alpha1/namespaces/shop/queueworkers/orders/status?x=1", "queueworkers/status"),
        ("/api/v1/namespaces/shop/events", "events"),
        ("/version", "other"),
    ],
)
def test_calls_are_counted_by_resource_and_not_by_name(path: str, resource: str) -> None:
    """A name in a label would be a series for each object."""
    assert _resource(path) == resource
