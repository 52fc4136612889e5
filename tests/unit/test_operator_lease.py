"""Who leads: at most one, by nobody's clock but one's own."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from windrow_operator.cluster import ApiError
from windrow_operator.lease import DURATION_S, MARGIN_S, LeaseKeeper, Seen, step, written

WALL = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (None, 0.0, "create"),
        (Seen("1", "me", 10, 0.0), 99.0, "renew"),
        (Seen("1", "", 10, 0.0), 0.0, "take"),
        (Seen("1", "other", 10, 0.0), 10.0, "wait"),
        (Seen("1", "other", 10, 0.0), 10.1, "take"),
        (Seen("1", "other", 30, 0.0), 10.1, "wait"),
    ],
)
def test_a_lease_is_taken_only_when_nobody_has_renewed_it_for_its_whole_duration(
    seen: Seen | None, now: float, expected: str
) -> None:
    """The duration is the holder's own, counted from when the Lease was first seen as it is."""
    assert step(seen, "me", now) == expected


def test_an_unchanged_lease_grows_old_and_a_renewed_one_begins_anew() -> None:
    """What counts is the resourceVersion, not the times that the holder wrote."""
    lease = {"metadata": {"resourceVersion": "5"}, "spec": {"holderIdentity": "other", "leaseDurationSeconds": 10}}
    first = Seen.of(lease, None, 100.0)
    assert Seen.of(lease, first, 107.0).since == 100.0
    assert Seen.of({**lease, "metadata": {"resourceVersion": "6"}}, first, 107.0).since == 107.0


def test_a_lease_says_who_how_long_and_since_when_as_the_api_server_wants_it() -> None:
    """A renewal keeps the time at which the holder took it; a change of holder is counted."""
    new = written(None, "ns", "me", WALL)
    assert new["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": DURATION_S,
        "acquireTime": "2026-01-02T03:04:05.678900Z",
        "renewTime": "2026-01-02T03:04:05.678900Z",
        "leaseTransitions": 1,
    }
    kept = {"metadata": {"resourceVersion": "7"}, "spec": {**new["spec"], "acquireTime": "2026-01-01T00:00:00.000000Z"}}
    renewed = written(kept, "ns", "me", WALL)
    assert renewed["spec"]["acquireTime"] == "2026-01-01T00:00:00.000000Z"
    assert renewed["spec"]["leaseTransitions"] == 1
    assert renewed["metadata"]["resourceVersion"] == "7"
    assert written(kept, "ns", "other", WALL)["spec"]["leaseTransitions"] == 2


class _Store:
    """A Lease with a version, as an API server keeps it; `away` makes every call fail."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.away = False

    def _keep(self, body: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.lease

    def _answer(self) -> None:
        if self.away:
            raise ApiError(0, "away")

    async def read_lease(self, namespace: str, name: str) -> dict[str, Any]:
        self._answer()
        if self.lease is None:
            raise ApiError(404, "none")
        return self.lease

    async def create_lease(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.lease is not None:
            raise ApiError(409, "is there")
        return self._keep(body)

    async def update_lease(self, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        self._answer()
        if self.lease is None or body["metadata"]["resourceVersion"] != str(self.version):
            raise ApiError(409, "changed meanwhile")
        return self._keep(body)


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_one_of_two_leads_and_the_next_one_waits_for_the_whole_silence() -> None:
    """The holder stops believing before the other may begin."""

    async def play() -> None:
        store, clock = _Store(), _Clock()
        one, two = (LeaseKeeper(store, "ns", name, clock=clock) for name in ("one", "two"))
        assert await one._try()
        assert not await two._try()
        clock.now += DURATION_S - MARGIN_S + 0.1
        assert not one.leads
        assert not await two._try(), "the other's own clock has not counted the whole duration yet"
        clock.now += MARGIN_S
        assert await two._try()
        assert two.leads
        assert not await one._try(), "what was taken meanwhile is not taken back"
        assert not one.leads

    asyncio.run(play())


def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    """A stop is no silence."""

    async def play() -> None:
        store, clock = _Store(), _Clock()
        one, two = (LeaseKeeper(store, "ns", name, clock=clock) for name in ("one", "two"))
        assert await one._try()
        await one.release()
        assert not one.leads
        assert await two._try()

    asyncio.run(play())


def test_an_api_server_that_is_away_ends_the_lead_when_the_time_is_over_and_not_before() -> None:
    """A failed renewal is tried again; only time ends the lead."""

    async def play() -> None:
        store, clock = _Store(), _Clock()
        one = LeaseKeeper(store, "ns", "one", clock=clock)
        assert await one._try()
        store.away = True
        clock.now += 5
        assert not await one._try()
        assert one.leads
        clock.now += 4
        assert not one.leads

    asyncio.run(play())
