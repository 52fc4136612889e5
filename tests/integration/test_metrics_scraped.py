"""What is scraped from each process of a running platform is what the catalogue says: no more, no less."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.test_server_run import Server
from tests.platforms import up
from tests.waiting import wait_until
from windrow.metrics.catalogue import FINAL_STATES, OTHER, OUTCOMES, Exporter, exported_by
from windrow.scaling import Reason
from windrow_operator.metrics import OperatorMetrics

POOLS = ("prefork", "asyncio", "threads")
QUEUES = "---\n".join(
    f"""\
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {{name: {pool}}}
spec:
  app: "tests.apps.evidence:app"
  pool: {pool}
  concurrency: 2
  recycle: {{tasks: 1000, memory: 512Mi}}
  objectives: {{start: {{within: 30s, target: 99%}}, success: {{target: 99.5%}}}}
  scaling: {{minReplicas: 1, maxReplicas: 2}}
"""
    for pool in POOLS
)
ADD, FAIL = "tests.apps.evidence.add", "tests.apps.evidence.fail"


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


def families(text: str) -> dict[str, Metric]:
    """Each family by its name, `_total` taken off."""
    found = list(text_string_to_metric_families(text))
    assert len({family.name for family in found}) == len(found), "a family stands on the page once"
    return {family.name: family for family in found}


def values(text: str, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The samples of one name by their labels."""
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in families(text).values()
        for sample in family.samples
        if sample.name == name
    }


def differences(text: str, *exporters: Exporter) -> list[str]:
    """What the page has otherwise than the catalogue says of these exporters."""
    found = families(text)
    listed = {metric.name.removesuffix("_total"): metric for metric in exported_by(*exporters)}
    told = [f"{name} is scraped and not in the catalogue" for name in sorted(set(found) - set(listed))]
    told += [f"{name} is in the catalogue and not scraped" for name in sorted(set(listed) - set(found))]
    for name in sorted(set(found) & set(listed)):
        family, metric = found[name], listed[name]
        if (family.type, family.documentation) != (metric.kind, metric.meaning):
            told.append(f"{name} is a {family.type}, {family.documentation!r}")
        if not family.samples:
            told.append(f"{name} has no series")
        for sample in family.samples:
            bucket = {"le"} if sample.name.endswith("_bucket") else set()
            if set(sample.labels) - bucket != set(metric.labels):
                told.append(f"{sample.name} has the labels {sorted(sample.labels)}")
    return told


@dataclass
class Pages:
    """Where each process of the platform serves its page, and how to call a task."""

    leader: str
    second: str
    workers: dict[str, str]
    """By queue; each pool has the queue of its name."""
    call: Callable[..., str]


@pytest.fixture
def platform(state_dir: Path, tmp_path: Path) -> Iterator[Pages]:
    """A supervisor, two servers, and a worker of each pool, all found by /sd, and no task run yet but one accepted."""
    with up(state_dir, tmp_path, QUEUES) as running:
        second = Server(tmp_path / "second", running.platform.redis_url, running.platform.database_url)
        try:
            running.call("add", 1, 2, queue="prefork", countdown=3600)
            wait_until(lambda: _workers(running.server).keys() == set(POOLS), 60, "a worker of each pool is in /sd")
            accepted = 'windrow_attempts_total{queue="prefork"'
            wait_until(lambda: accepted in get(running.server + "/metrics"), 60, "an acceptance is on record")
            wait_until(lambda: second.get("/healthz")["redis"] == "ok", 60, "the second server is there")
            yield Pages(running.server + "/metrics", second.url + "/metrics", _workers(running.server), running.call)
        finally:
            second.kill()


def _workers(server: str) -> dict[str, str]:
    groups = json.loads(get(server + "/sd"))
    return {
        group["labels"]["__meta_windrow_queue"]: f"http://{group['targets'][0]}/metrics"
        for group in groups
        if group["labels"]["__meta_windrow_role"] == "worker"
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_process_exports_what_the_catalogue_says(platform: Pages) -> None:
    """Name, type, labels, meaning and exporter, before the first task ends and after; what can happen stands at zero before."""
    _compare(platform)
    _zeros(platform)
    for pool in POOLS:
        platform.call("add", 1, 2, queue=pool)
        platform.call("again", 1, queue=pool)
        platform.call("fail", "told", queue=pool)
    failed = 'error="ValueError"'
    for url in [*platform.workers.values(), platform.leader]:
        wait_until(lambda url=url: failed in get(url), 60, "the failures are counted", pause=0.2)
    _compare(platform)


def _compare(platform: Pages) -> None:
    assert differences(get(platform.leader), "leader", "server") == []
    assert differences(get(platform.second), "server") == []
    for url in platform.workers.values():
        assert differences(get(url), "worker") == []


def _zeros(platform: Pages) -> None:
    leader = get(platform.leader)
    states = {labels[1][1]: value for labels, value in _of("windrow_executions_finished_total", leader, ADD)}
    assert states == dict.fromkeys(set(FINAL_STATES) - {"rejected"}, 0)
    assert [value for _, value in _of("windrow_attempts_total", leader, ADD)] == [0]
    assert [value for _, value in _of("windrow_retries_total", leader, ADD)] == [0]
    reasons = set(values(leader, "windrow_scaling_decisions_total"))
    assert reasons >= {(("queue", pool), ("reason", str(reason))) for pool in POOLS for reason in Reason}
    starts = {(("queue", pool), ("result", result)) for pool in POOLS for result in ("in_time", "late")}
    assert values(leader, "windrow_starts_total") == dict.fromkeys(starts, 0)
    assert values(leader, "windrow_attempt_logs_dropped_total")[(("queue", "prefork"),)] == 0
    for pool, url in platform.workers.items():
        text = get(url)
        outcomes = {labels[0][1]: value for labels, value in _of("windrow_task_attempts_total", text, FAIL)}
        assert outcomes == dict.fromkeys(OUTCOMES, 0)
        assert [value for _, value in _of("windrow_task_retries_total", text, FAIL)] == [0]
        assert [value for _, value in _of("windrow_task_failures_total", text, OTHER)] == [0]
        recycled = {(("queue", pool), ("reason", reason)): 0 for reason in ("memory", "tasks")}
        assert values(text, "windrow_worker_recycles_total") == recycled
        assert values(text, "windrow_task_duration_seconds_count") == {(("queue", pool),): 0}
        assert values(text, "windrow_worker_slots") == {
            (("queue", pool), ("state", "busy")): 0,
            (("queue", pool), ("state", "idle")): 2,
        }


def _of(name: str, text: str, task: str) -> list[tuple[tuple[tuple[str, str], ...], float]]:
    """One task's series of a metric; its labels in alphabetical order."""
    return [(labels, value) for labels, value in values(text, name).items() if ("task", task) in labels]


def test_an_operator_exports_what_the_catalogue_says() -> None:
    """Its page is made from a registry of its own; calls have no series before the first."""
    registry = CollectorRegistry()
    metrics = OperatorMetrics(registry)
    metrics.called("patch", "deployments", 200)
    assert differences(generate_latest(registry).decode(), "operator") == []
