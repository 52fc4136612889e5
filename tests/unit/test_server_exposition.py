"""The server's page for Prometheus: right, complete at zero, parseable, and quick at its largest."""

import dataclasses
import time

from prometheus_client.parser import text_string_to_metric_families

from windrow.broker.observe import QueueReading, WorkerInfo
from windrow.broker.standing import Standing
from windrow.metrics.catalogue import BY_NAME, SERVER_ERRORS, SERVER_TASKS, exported_by
from windrow.records.outbox import Backlog
from windrow.server.exposition import Figures, Self, render


def worker(busy=0, drain=None):
    return WorkerInfo("q/h/1/a", "q", "q", "h", 1, 2, None, 0.0, busy, busy, 0, None, drain)


def reading(**more):
    values = {"queue": "q", "at": 0.0, "ready": 3, "delayed": 2, "due_soon": 0, "in_flight": 1, "oldest_age": 1.5}
    values |= {"oldest_is_lower_bound": False, "paused": False, "pinned": None, "mean_run": None, "finished": 0}
    return QueueReading(**values, workers=(worker(), worker(1), worker(1, "asked")), **more)


def standing(**more):
    values = {"by": "a/q", "wanted": 3, "least": 0, "most": 5, "crashing": 1, "wait_target": 30.0, "run_limit": 60.0}
    values |= {"start_within": 20.0, "start_target": 0.99, "success_target": None, "reason": "few", "sentence": ""}
    return Standing(**values | more)


def parsed(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_leader_exports_all_that_the_catalogue_says():
    """Each metric of server and leader is on the page, with the catalogue's type, and what stands there is right."""
    totals = [("finished", "q", "t", "success", 5), ("failures", "q", "t", 'E"\\\n', 2), ("attempts", "q", "t", "", 7)]
    totals.append(("logs_dropped", "q", "other", "", 3))
    text = render(
        Self(True),
        Figures(
            totals, {"q": reading()}, {("q", "idle"): 2}, 0.5, 0, Backlog(4, 2.5), {"q": standing()}, {"q": 7.5}, (9, 0), 3
        ),
    )
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for metric in exported_by("leader", "server"):
        family = families[metric.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
    values = parsed(text)
    assert values["windrow_executions_finished_total", ("queue", "q"), ("state", "success"), ("task", "t")] == 5
    assert values["windrow_failures_total", ("error", 'E"\\\n'), ("queue", "q"), ("task", "t")] == 2
    assert values["windrow_queue_tasks", ("queue", "q"), ("state", "in_flight")] == 1
    assert values["windrow_workers", ("queue", "q"), ("state", "draining")] == 1
    assert values["windrow_queue_oldest_age_seconds", ("queue", "q")] == 1.5
    assert values["windrow_leader",] == 1
    assert values["windrow_workers", ("queue", "q"), ("state", "crashing")] == 1
    assert values["windrow_objective_target", ("objective", "start"), ("queue", "q")] == 0.99
    assert ("windrow_objective_target", ("objective", "success"), ("queue", "q")) not in values
    assert values["windrow_queue_longest_run_seconds", ("queue", "q")] == 7.5
    assert (values["windrow_workers_wanted", ("queue", "q")], values["windrow_workers_max", ("queue", "q")]) == (3, 5)
    assert (values["windrow_redis_memory_bytes",], values["windrow_records_partitions_ahead_days",]) == (9, 3)
    assert values["windrow_attempt_logs_dropped_total", ("queue", "q")] == 3
    assert (values["windrow_outbox_rows",], values["windrow_outbox_oldest_age_seconds",]) == (4, 2.5)


def test_a_known_task_has_eight_series_from_the_start():
    """All its final states, its attempts and its retries stand at zero before the first of each."""
    with_one = parsed(render(Self(True), Figures([("attempts", "q", "t", "", 0)], {}, {}, 0.0, 0)))
    own = {key: value for key, value in with_one.items() if ("task", "t") in key}
    assert len(own) == 8
    assert set(own.values()) == {0}
    assert with_one["windrow_failures_total", ("error", "other"), ("queue", "q"), ("task", "other")] == 0


def test_a_queue_stands_at_zero_before_its_first_event():
    """The increase from nothing to three lost executions is an increase: the sum over tasks was there before."""
    page = parsed(render(Self(True), Figures([], {"q": reading()}, {}, 0.0, 0)))
    own = {key: value for key, value in page.items() if ("task", "other") in key}
    assert {key[0] for key in own} == {
        "windrow_executions_finished_total", "windrow_attempts_total", "windrow_retries_total", "windrow_failures_total"
    }  # fmt: skip
    assert set(own.values()) == {0}


def test_only_the_leader_speaks_for_all():
    """A server that does not lead says so, and nothing that would be counted twice."""
    assert parsed(render(Self(False), None)) == {
        ("windrow_leader",): 0,
        ("windrow_redis_up",): 1,
        ("windrow_database_up",): 1,
    }


def test_what_can_not_be_read_is_left_out():
    """A gap says unknown; a zero would be a lie."""
    values = parsed(render(Self(True), Figures(None, None, None, None, 0)))
    own = {"windrow_leader", "windrow_redis_up", "windrow_database_up"}
    assert {name for name, *_ in values} == own | {"windrow_records_dropped_total"}


def test_starts_stand_at_zero_for_every_promise():
    """From the moment a queue promises, not from its first late start; those of a withdrawn promise stay."""
    values = parsed(
        render(Self(True), Figures([("starts", "old", "other", "late", 2)], {}, {}, 0.0, 0, None, {"q": standing()}))
    )
    assert {key: value for key, value in values.items() if key[0] == "windrow_starts_total"} == {
        ("windrow_starts_total", ("queue", "q"), ("result", "in_time")): 0,
        ("windrow_starts_total", ("queue", "q"), ("result", "late")): 0,
        ("windrow_starts_total", ("queue", "old"), ("result", "in_time")): 0,
        ("windrow_starts_total", ("queue", "old"), ("result", "late")): 2,
    }


def test_a_queue_is_served_by_a_scaler_or_a_worker():
    """Else nobody will ever take its tasks; while Redis does not tell what scalers say, nothing is claimed."""
    alone = dataclasses.replace(reading(), workers=())
    page = parsed(
        render(Self(True), Figures([], {"a": alone, "b": reading(), "q": alone}, {}, 0.0, 0, None, {"q": standing()}))
    )
    assert [page["windrow_queue_served", ("queue", name)] for name in "abq"] == [0, 1, 1]
    unknown = parsed(render(Self(True), Figures([], {"a": alone}, {}, 0.0, 0)))
    assert not [key for key in unknown if key[0] == "windrow_queue_served"]


def test_the_largest_page_is_quick():
    """As many series as the limits allow: under 100,000, rendered in well under a scrape's three seconds."""
    totals = [("attempts", f"queue{n % 50}", f"project.module.task{n}", "", n) for n in range(SERVER_TASKS)]
    totals += [("failures", f"queue{n % 50}", f"project.module.task{n}", "E", n) for n in range(SERVER_ERRORS)]
    started = time.process_time()
    text = render(Self(True), Figures(totals, {}, {}, 0.0, 0))
    assert time.process_time() - started < 3
    assert 80_000 < text.count("\n") - 2 * len(BY_NAME) < 100_000
