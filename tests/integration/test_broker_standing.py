"""What scalers say of their queues: said once, said again to a Redis that forgot, taken away with the queue."""

from __future__ import annotations

import json
import time

import pytest

from windrow.broker.client import Client, connect
from windrow.broker.standing import AGAIN_SECONDS, FORSAKEN_SECONDS, Board, Standing, longest_runs, standing, standings
from windrow.queues import QueueWorker
from windrow.scaling import Decision, Reason

SPEC = {
    "apiVersion": "windrow.dev/v1alpha1",
    "kind": "QueueWorker",
    "metadata": {"name": "q"},
    "spec": {
        "timeLimits": {"soft": "10s", "hard": "1m"},
        "objectives": {"start": {"within": "30s", "target": "99%"}, "success": {"target": "99.5%"}},
    },
}


@pytest.fixture
def client(redis_url: str) -> Client:
    return connect(redis_url, key_prefix="other:")


def made(wanted: int = 2, sentence: str = "") -> Standing:
    return standing(QueueWorker.model_validate(SPEC), Decision(wanted, Reason.IDLE, sentence), "a/q", 0)


def test_what_is_said_is_read_back(client: Client) -> None:
    """Every field, also the promises; the run limit is the soft one."""
    Board().tell(client, {"q": made()}, 0.0)
    (found,) = standings(client).values()
    assert found == made()
    assert (found.run_limit, found.start_within, found.start_target, found.success_target) == (10.0, 30.0, 0.99, 0.995)


def test_only_what_changed_is_said(client: Client) -> None:
    """New figures in a sentence are no change; after a minute all is said again, for a Redis that forgot."""
    board = Board()
    board.tell(client, {"q": made()}, 0.0)
    assert board.due({"q": made(sentence="3 wait")}, 1.0) == {}
    assert board.due({"q": made(wanted=3)}, 1.0).keys() == {"q"}
    client.flushall()
    assert board.due({"q": made()}, AGAIN_SECONDS).keys() == {"q"}


def test_a_queue_without_its_scaler_is_no_longer_spoken_of(client: Client) -> None:
    """At once when the scaler gave it up, after ten minutes when the scaler itself is gone."""
    board, other = Board(), Board()
    board.tell(client, {"q": made(), "r": made()}, 0.0)
    board.tell(client, {"q": made()}, 1.0)
    assert standings(client).keys() == {"q"}
    key = client.keys_of.scaling
    told = json.loads(client.hget(key, "q"))
    client.hset(key, "q", json.dumps({**told, "at": time.time() - FORSAKEN_SECONDS - 1}))
    other.tell(client, {"s": made()}, 0.0)
    assert standings(client).keys() == {"s"}


def test_the_longest_run_of_each_queue(client: Client) -> None:
    """Over all workers of the queue; a queue without a running attempt is left out."""
    keys = client.keys_of
    for worker, starts in {"q/a": [100.0, 40.0], "q/b": [70.0], "r/a": []}.items():
        for tag, start in enumerate(starts):
            client.hset(keys.started(worker), str(tag), json.dumps({"id": "x", "t": start}))
    assert longest_runs(client, {"q/a": "q", "q/b": "q", "r/a": "r"}, 110.0) == {"q": 70.0}
