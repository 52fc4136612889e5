"""What a scrape may be, held in short; `python -m benchmarks.metrics` measures it whole.

On a machine that is busy with other tests, the quick ones of several scrapes say what a scrape takes.
"""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from benchmarks.metrics import server, worker
from benchmarks.metrics.limits import SERVER_SECONDS, SERVER_SERIES, WORKER_SECONDS, WORKER_SERIES, checks, markdown
from benchmarks.stack import Stack

PROBE_SECONDS = 1.0
"""How long Kubernetes waits for a probe's answer by default."""


@pytest.fixture
def stack(redis_url: str, migrated_database_url: str, tmp_path: Path) -> Stack:
    return Stack(redis_url, migrated_database_url, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("pool", worker.SLOTS)
def test_a_worker_with_fifty_tasks_is_small_and_quick_to_scrape(stack: Stack, pool: str) -> None:
    """Under 2,000 series, all tasks and errors seen, and scraped in under 50 ms while it runs tasks."""
    found = worker.measure(stack, pool, 20)
    assert found.tasks == 50
    assert 600 < found.scrapes.series < WORKER_SERIES
    assert statistics.quantiles(found.scrapes.seconds, n=4)[0] < WORKER_SECONDS


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_largest_server_is_scraped_in_time_and_answers_others_meanwhile(stack: Stack) -> None:
    """200 queues of 50 tasks: under 100,000 series in under 3 s, and whoever asks for something else is not held up."""
    found = server.measure(stack, 4, print, quiet_s=1.0)
    assert 80_000 < found.scrapes.series < SERVER_SERIES
    assert min(found.scrapes.seconds) < SERVER_SECONDS
    assert min(of.count for of in found.during.values()) > 3
    assert found.during["/livez"].most < PROBE_SECONDS, "its loop turns"
    assert max(of.median for of in found.during.values()) < PROBE_SECONDS


def _document(series: int, seconds: float) -> dict[str, object]:
    scrapes = {"series": series, "kilobytes": 80.0, "began": [0.0], "seconds": [seconds]}
    run = {"command": "c", "date": "2026-01-02T03", "machine": "m", "python": "3", "load": "0.1"}
    return {"worker": {"run": run, "pools": [{"pool": "prefork", "tasks": 50, "errors": 300, "scrapes": scrapes}]}}


@pytest.mark.parametrize(("series", "seconds", "met"), [(1999, 0.049, [True, True]), (2001, 0.051, [False, False])])
def test_a_limit_is_missed_when_it_is_passed(series: int, seconds: float, met: list[bool]) -> None:
    """The bench ends with 1 then; its page shows the figure all the same."""
    document = _document(series, seconds)
    assert [check.met for check in checks(document)] == met
    assert f"{series:,}" in markdown(document)
