"""What the operator wants and what specs promise reaches the leading server, through Redis, and leaves with the QueueWorker."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.agent.playing import Agent
from tests.cluster.operators import Operators
from tests.cluster.publishing import publish
from tests.cluster.setting import QueueWorkerObject
from tests.waiting import wait_until
from windrow.broker.client import connect
from windrow.broker.standing import standings

OBJECTIVES = {"start": {"within": "20s", "target": "99%"}, "success": {"target": "99.5%"}}


def test_an_operators_word_on_its_queues(
    operator: Operators, agent: Agent, queueworker: Callable[..., QueueWorkerObject], redis_url: str
) -> None:
    """Who it is about, how many workers are wanted, what was promised; a QueueWorker that goes is no longer spoken of."""
    operator.start()
    client = connect(redis_url)
    limits = {"soft": "1m", "hard": "5m"}
    mail = queueworker("mail", concurrency=1, timeLimits=limits, objectives=OBJECTIVES, scaling={"maxReplicas": 3})
    post = queueworker("post", concurrency=1)
    wait_until(lambda: standings(client).keys() >= {"mail", "post"}, 20, "both are spoken of")
    said = standings(client)["mail"]
    assert (said.start_within, said.start_target, said.success_target) == (20.0, 0.99, 0.995)
    assert (said.by.rpartition("/")[2], said.wanted, said.most, said.run_limit) == ("mail", 0, 3, 60.0)
    assert standings(client)["post"].success_target is None
    publish(redis_url, mail.queue, 2, seconds=5)
    wait_until(lambda: standings(client)["mail"].wanted == 2, 10, "two workers are wanted")
    post.delete()
    wait_until(lambda: "post" not in standings(client), 20, "it is spoken of no more")
    assert "mail" in standings(client)
