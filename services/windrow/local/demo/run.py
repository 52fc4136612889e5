"""One replay on a platform: publish, wait until all is done and every worker is gone, ask the three sources."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from windrow.broker.client import connect
from windrow.local.demo import evidence
from windrow.local.demo.arrivals import SERIES, SPEEDUP, Arrival, arrivals
from windrow.local.demo.inputs import Place, prepare
from windrow.local.demo.outcome import Outcome
from windrow.local.demo.replay import WorkerCount, publish
from windrow.local.demo.site import Site
from windrow.local.platform import Platform, server_url
from windrow_tasks import DATA
from windrow_tasks.series import measurements

SPECS = Path(__file__).with_name("windrow.yaml")
"""The demo's own QueueWorkers."""
FINISH_SECONDS = 60.0
"""What is accepted must be done so long after the last acceptance, or the outcome says what is missing."""
IDLE_SECONDS = 60.0
"""How long queues are given to go back to zero workers."""
AGREE_SECONDS = 10.0
"""The server reads its totals at most once a second; figures that still differ after this do differ."""

T = TypeVar("T")


@dataclass(frozen=True)
class Replay:
    """What to replay; raises ValueError when made of seconds and a speed-up that the series don't hold."""

    plan: tuple[Arrival, ...]

    @classmethod
    def of(cls, seconds: float, speedup: float = SPEEDUP) -> Replay:
        """`seconds` of arrivals from the series that ship with Windrow."""
        series = {queue: list(measurements(DATA / f"{name}.csv")) for queue, name in SERIES.items()}
        return cls(tuple(arrivals(series, seconds, speedup)))


def replay(work: Replay, platform: Platform, stop: threading.Event, say: Callable[[str], None]) -> Outcome:
    """Run it against a platform that is up; `stop` ends it early, with what was accepted until then.

    Raises TimeoutError when the platform's server doesn't come up, and what Redis or PostgreSQL raise when they are away.
    """
    assert platform.state_dir is not None  # noqa: S101 - a platform on this machine has one
    state = platform.state_dir
    client = connect(platform.redis_url, key_prefix=platform.key_prefix)
    prepare(state / "demo")
    url = _wait_for(lambda: server_url(state), 60, stop, "the server says where it listens")
    before = _wait_for(lambda: _scrape(url), 30, stop, "the server exports the exact totals")
    finals_before = evidence.finals_so_far(platform.database_url)
    workers = WorkerCount(client)
    workers.start()
    with Site() as site:
        say(f"replaying {len(work.plan)} arrivals over {work.plan[-1].at:.0f} s" if work.plan else "nothing arrives")
        began = time.monotonic()
        accepted = publish(work.plan, Place(state / "demo", site.url), platform, stop)
        ended = time.monotonic()
        say(f"accepted {accepted.total}; waiting until all are done")
        _look_until(
            lambda: evidence.finals_so_far(platform.database_url) - finals_before >= accepted.total, FINISH_SECONDS, stop
        )
        done = time.monotonic()
    _look_until(lambda: not workers.look().total(), IDLE_SECONDS, stop)
    workers.end()
    outcome: list[Outcome] = []

    def agreed() -> bool:
        records = evidence.ask(platform.database_url, accepted.ids)
        metrics = evidence.since(before, evidence.scrape(url))
        sentences = evidence.disagreements(accepted.by_queue, records, metrics)
        outcome[:] = [
            Outcome(
                {queue: accepted.by_queue[queue] for queue in SERIES},
                records,
                {queue: metrics.get(queue, {}) for queue in SERIES},
                {queue: workers.most[queue] for queue in SERIES},
                {queue: workers.now[queue] for queue in SERIES},
                ended - began,
                done - ended,
                sentences,
            )
        ]
        return not sentences

    _look_until(agreed, AGREE_SECONDS, stop)
    return outcome[0]


def _scrape(url: str) -> dict[str, Counter[str]] | None:
    try:
        return evidence.scrape(url)
    except OSError:
        return None


def _wait_for(find: Callable[[], T | None], seconds: float, stop: threading.Event, what: str) -> T:
    found: list[T] = []

    def look() -> bool:
        value = find()
        if value is not None:
            found.append(value)
        return bool(found)

    if not _look_until(look, seconds, stop):
        raise TimeoutError(f"{what} must be true within {seconds:.0f} s")
    return found[0]


def _look_until(condition: Callable[[], bool], seconds: float, stop: threading.Event) -> bool:
    """Look at least once, then each half second until it is true; False when the time is up or `stop` is set."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline or stop.wait(0.3):
            return False
    return True
