"""What scalers say of their queues, for the leading server's metrics: what is wanted, what is promised, who crashes.

The scaler knows the specs, the server exports: a hash in Redis lies between them. It outlives its scaler, so that what was
promised is still measured while an operator is away.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

from windrow.broker.client import Client
from windrow.queues.model import QueueWorker
from windrow.scaling import Decision

AGAIN_SECONDS: Final = 60.0
"""How often what has not changed is said again: a Redis that lost data has forgotten it."""
FORSAKEN_SECONDS: Final = 600.0
"""What nobody has said for so long is of a queue that no scaler has any more."""

_AT_ONCE: Final = 1000


@dataclass(frozen=True)
class Standing:
    """What a scaler says of one queue; times in seconds, targets as ratios, None where nothing is promised."""

    by: str
    """`supervisor`, or a QueueWorker's `<namespace>/<name>`."""
    wanted: int
    """Workers that the last decision asks for."""
    least: int
    most: int
    crashing: int
    """Workers that are wanted, and crash before they serve."""
    wait_target: float
    run_limit: float
    """The queue's soft limit; the hard one where there is no soft one."""
    start_within: float | None
    start_target: float | None
    success_target: float | None
    reason: str
    """Why so many are wanted (`windrow.scaling.Reason`)."""
    sentence: str = field(compare=False)
    """The same with the figures of the moment; others make no other standing."""


def standing(spec: QueueWorker, decision: Decision, by: str, crashing: int) -> Standing:
    """What is to be said of a queue after a decision."""
    given = spec.spec
    start, success = given.objectives.start, given.objectives.success
    return Standing(
        by=by,
        wanted=decision.replicas,
        least=given.scaling.min_replicas,
        most=given.scaling.max_replicas,
        crashing=crashing,
        wait_target=given.scaling.wait_target,
        run_limit=given.time_limits.soft or given.time_limits.hard,
        start_within=start.within if start is not None else None,
        start_target=start.target if start is not None else None,
        success_target=success.target if success is not None else None,
        reason=str(decision.reason),
        sentence=decision.sentence,
    )


class Board:
    """What one scaler has said in one Redis: only what changed is said, and all of it once a minute."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[Standing, float]] = {}
        self._swept = float("-inf")

    def due(self, every: Mapping[str, Standing], now: float) -> dict[str, Standing]:
        """Those of `every`, by queue, that must be said at `now` (monotonic seconds)."""
        found = {}
        for queue, one in every.items():
            said = self._said.get(queue)
            if said is None or (said[0] is not one and said[0] != one) or now - said[1] >= AGAIN_SECONDS:
                found[queue] = one
        return found

    def tell(self, client: Client, every: Mapping[str, Standing], now: float) -> None:
        """Say what is due of `every`; take away what was said of queues that are not in it, and what nobody says any more.

        Raises redis.RedisError.
        """
        key, wall, due = client.keys_of.scaling, round(time.time(), 3), self.due(every, now)
        values = {queue: json.dumps({"at": wall, **asdict(one)}, separators=(",", ":")) for queue, one in due.items()}
        for first in range(0, len(values), _AT_ONCE):
            some = itertools.islice(values.items(), first, first + _AT_ONCE)
            client.insist("HSET", key, *itertools.chain.from_iterable(some))
        self._said.update((queue, (one, now)) for queue, one in due.items())
        gone = set(self._said.keys() - every.keys())
        if now - self._swept >= AGAIN_SECONDS:
            gone |= {queue for queue, told in _told(client).items() if wall - told.get("at", 0.0) > FORSAKEN_SECONDS}
            self._swept = now
        if gone:
            client.hdel(key, *gone)
        for queue in gone:
            self._said.pop(queue, None)


def standings(client: Client) -> dict[str, Standing]:
    """What scalers say, by queue. Raises redis.RedisError."""
    names = Standing.__dataclass_fields__
    found = {}
    for queue, told in _told(client).items():
        # A later release may say more; what an earlier one did not say can't be measured.
        if names.keys() <= told.keys():
            found[queue] = Standing(**{name: told[name] for name in names})
    return found


def longest_runs(client: Client, workers: Mapping[str, str], now: float) -> dict[str, float]:
    """How long the longest running attempt of each queue has run at `now` (seconds since 1970); `workers`: id → queue.

    Queues without a running attempt are left out. Raises redis.RedisError.
    """
    names = list(workers)
    with client.pipeline(transaction=False) as pipe:
        for worker in names:
            pipe.hvals(client.keys_of.started(worker))
        answers = pipe.execute()
    longest: dict[str, float] = {}
    for worker, notes in zip(names, answers, strict=True):
        for note in notes:
            began = json.loads(note).get("t")
            if isinstance(began, int | float):
                queue = workers[worker]
                longest[queue] = max(longest.get(queue, 0.0), now - began)
    return longest


def _told(client: Client) -> dict[str, dict[str, Any]]:
    raw = cast(dict[bytes, bytes], client.hgetall(client.keys_of.scaling))
    return {queue.decode(): json.loads(text) for queue, text in raw.items()}
