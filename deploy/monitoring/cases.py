"""What each alert must do, as cases for `promtool test rules`: for each one that it fires and one, close by, that it doesn't.

Values are of a minute each, in Prometheus' own notation: `0+5x60` is 0, 5, 10, … for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.monitoring.alerts import BY_NAME, RUNBOOKS

LEADER = 'windrow_leader{instance="a"}'
HEALTHY = {LEADER: "1x6000"}
"""Without a leader nothing else means anything."""


@dataclass(frozen=True)
class Case:
    """What stands in series from minute 0 on, and which alerts fire at minute `at`: their labels and summaries."""

    name: str
    series: Mapping[str, str]
    at: int
    fires: Mapping[str, tuple[Mapping[str, str], str]] = field(default_factory=dict)


def _queue(metric: str, **labels: str) -> str:
    given = "".join(f', {name}="{value}"' for name, value in labels.items())
    return f'{metric}{{instance="a", queue="q"{given}}}'


def _finished(state: str, task: str = "t") -> str:
    return _queue("windrow_executions_finished_total", task=task, state=state)


def _target(objective: str) -> str:
    return _queue("windrow_objective_target", objective=objective)


def _starts(result: str) -> str:
    return _queue("windrow_starts_total", result=result)


Q: Mapping[str, str] = {"queue": "q"}
NONE: Mapping[str, str] = {}


def _success(good: str, bad: str, target: str = "0.99x6000", state: str = "failed") -> dict[str, str]:
    return {_target("success"): target, _finished("success"): good, _finished(state): bad}


def _start(good: str, bad: str) -> dict[str, str]:
    return {_target("start"): "0.99x6000", _starts("in_time"): good, _starts("late"): bad}


def _idle(**more: str) -> dict[str, str]:
    """A queue with nothing in it and no workers, but what `more` says."""
    figures = {
        "windrow_queue_tasks ready": "0x60",
        "windrow_queue_tasks in_flight": "0x60",
        "windrow_queue_served": "1x60",
        "windrow_queue_paused": "0x60",
        "windrow_attempts_total": "0x60",
        "windrow_workers busy": "0x60",
        "windrow_workers idle": "0x60",
        "windrow_workers crashing": "0x60",
        "windrow_workers_wanted": "0x60",
        "windrow_workers_max": "5x60",
        "windrow_queue_oldest_age_seconds": "0x60",
        "windrow_queue_wait_target_seconds": "30x60",
        "windrow_queue_longest_run_seconds": "0x60",
        "windrow_queue_run_limit_seconds": "60x60",
    } | {name.replace("__", " "): values for name, values in more.items()}
    made = {}
    for name, values in figures.items():
        metric, _, state = name.partition(" ")
        labels = {"task": "t"} if metric == "windrow_attempts_total" else {"state": state} if state else {}
        made[_queue(metric, **labels)] = values
    return made


def _live(worker: str) -> str:
    return f'windrow_task_attempts_total{{instance="{worker}", queue="q", task="t", outcome="success"}}'


def _attempts(values: str) -> dict[str, str]:
    """Attempts on record, all of them shown by a worker too."""
    return {_queue("windrow_attempts_total", task="t"): values, _live("w"): values}


CASES: tuple[Case, ...] = (
    Case(
        "a fifth of the executions fail",
        _success("0+80x120", "0+20x120"),
        30,
        {"WindrowSuccessBudgetFast": (Q, "Queue q spends its budget of failures 20 times as fast as its objective allows.")},
    ),
    Case(
        "a tenth of the executions fail, for hours",
        _success("0+90x600", "0+10x600"),
        120,
        {"WindrowSuccessBudgetSlow": (Q, "Queue q has spent its budget of failures 10 times too fast for hours.")},
    ),
    Case(
        "two of a hundred are lost or time out, for days",
        _success("0+98x6000", "0+2x6000", state="timed_out"),
        200,
        {"WindrowSuccessBudgetTicket": (Q, "Queue q has spent its budget of failures 2 times too fast for a day or more.")},
    ),
    Case(
        "a fifth failed, was paged, and is mended: windows that still hold it say nothing more",
        _success("0+80x20 1600+100x300", "0+20x20 400x300"),
        35,
    ),
    Case("one of two hundred fails", _success("0+199x600", "0+1x600"), 150),
    Case("what is cancelled is no failure", _success("0+50x600", "0+50x600", state="cancelled"), 150),
    Case("two failures of a rare task", _success("0x60 1x600", "0x60 2x600"), 70),
    Case("the failures are over", _success("0+100x600", "0+50x10 500x600"), 400),
    Case("nothing was promised", {_finished("success"): "0+1x60", _finished("failed"): "0+9x60"}, 50),
    Case(
        "a fifth of the attempts start late",
        _start("0+80x120", "0+20x120"),
        30,
        {"WindrowStartBudgetFast": (Q, "Queue q spends its budget of late starts 20 times as fast as its objective allows.")},
    ),
    Case(
        "a tenth of the attempts start late, for hours",
        _start("0+90x600", "0+10x600"),
        120,
        {"WindrowStartBudgetSlow": (Q, "Queue q has spent its budget of late starts 10 times too fast for hours.")},
    ),
    Case(
        "two of a hundred start late, for days",
        _start("0+98x6000", "0+2x6000"),
        200,
        {"WindrowStartBudgetTicket": (Q, "Queue q has spent its budget of late starts 2 times too fast for a day or more.")},
    ),
    Case("one of two hundred starts late", _start("0+199x600", "0+1x600"), 150),
    Case(
        "tasks are ready and nothing moves",
        _idle(windrow_queue_tasks__ready="0x5 7x60"),
        15,
        {"WindrowQueueStalled": (Q, "Queue q has 7 tasks ready, and none of them has started for minutes.")},
    ),
    Case("they are ready, and others run", _idle(windrow_queue_tasks__ready="7x60", windrow_queue_tasks__in_flight="2x60"), 30),
    Case("they are ready, and attempts end", _idle(windrow_queue_tasks__ready="7x60", windrow_attempts_total="0+1x60"), 30),
    Case("the queue is paused", _idle(windrow_queue_tasks__ready="7x60", windrow_queue_paused="1x60"), 30),
    Case(
        "workers that were asked for don't come",
        _idle(windrow_workers_wanted="3x60", windrow_workers__busy="1x60", windrow_queue_tasks__in_flight="1x60"),
        15,
        {"WindrowWorkersMissing": (Q, "Queue q lacks 2 workers that were asked for.")},
    ),
    Case("they come within four minutes", _idle(windrow_workers_wanted="3x60", windrow_workers__idle="0x4 3x60"), 15),
    Case("more are there than are wanted", _idle(windrow_workers_wanted="1x60", windrow_workers__idle="3x60"), 15),
    Case(
        "workers crash",
        _idle(windrow_workers__crashing="2x60"),
        5,
        {"WindrowWorkersCrashLooping": (Q, "2 workers of queue q end again and again before they serve.")},
    ),
    Case("a worker crashed once", _idle(windrow_workers__crashing="0 0 1 0x60"), 5),
    Case(
        "no more workers are allowed, and tasks wait",
        _idle(
            windrow_workers_wanted="5x60",
            windrow_workers__busy="5x60",
            windrow_queue_oldest_age_seconds="90x60",
            windrow_queue_tasks__in_flight="5x60",
        ),
        15,
        {"WindrowAtMaxReplicas": (Q, "Queue q may have no more workers, and its oldest task waits 1m 30s.")},
    ),
    Case(
        "no more workers are allowed, and tasks start in time",
        _idle(windrow_workers_wanted="5x60", windrow_workers__busy="5x60", windrow_queue_oldest_age_seconds="29x60"),
        15,
    ),
    Case(
        "tasks wait, and more workers may come",
        _idle(windrow_workers_wanted="4x60", windrow_workers__busy="4x60", windrow_queue_oldest_age_seconds="90x60"),
        15,
    ),
    Case(
        "an execution is lost",
        {_finished("lost"): "0x9 1x60"},
        12,
        {"WindrowExecutionsLost": (Q, "Queue q has lost 1 executions within 15 minutes.")},
    ),
    Case("executions were lost long ago", {_finished("lost"): "7x60"}, 40),
    Case(
        "a task goes on after its soft limit",
        _idle(windrow_queue_longest_run_seconds="0+60x60"),
        10,
        {"WindrowStuckRunning": (Q, "A task of queue q has run 10m 0s, past its queue's time limit.")},
    ),
    Case("a task runs as long as it may", _idle(windrow_queue_longest_run_seconds="59x60"), 30),
    Case(
        "most attempts end in a retry",
        _attempts("0+100x60") | {_queue("windrow_retries_total", task="t"): "0+80x60"},
        30,
        {"WindrowRetryStorm": (Q, "80% of the attempts of queue q end in a retry.")},
    ),
    Case(
        "every third attempt ends in a retry",
        _attempts("0+90x60") | {_queue("windrow_retries_total", task="t"): "0+30x60"},
        30,
    ),
    Case(
        "the records fall behind",
        {"windrow_records_lag_seconds": "0x5 60+60x60"},
        10,
        {"WindrowRecordsNotWritten": (NONE, "The records are 5m 0s behind.")},
    ),
    Case("the records are half a minute behind", {"windrow_records_lag_seconds": "29x60"}, 30),
    Case(
        "an event could not be recorded",
        {'windrow_records_dropped_total{instance="a"}': "0x9 2x60"},
        12,
        {"WindrowRecordsDropped": (NONE, "2 events could not be recorded within 15 minutes.")},
    ),
    Case("another server leads, and counts from its own start", {'windrow_records_dropped_total{instance="b"}': "3x60"}, 30),
    Case(
        "a queue that nobody serves",
        _idle(windrow_queue_tasks__ready="4x60", windrow_queue_served="0x60"),
        10,
        {"WindrowQueueUnserved": (Q, "Queue q has 4 tasks ready, and nobody serves it.")},
    ),
    Case("an unserved queue with nothing in it", _idle(windrow_queue_served="0x60"), 30),
    Case(
        "workers are not scraped",
        {_queue("windrow_attempts_total", task="t"): "0+100x60"},
        40,
        {"WindrowFiguresApart": (Q, "Workers of queue q have shown 0% of the attempts that are on record.")},
    ),
    Case(
        "each burst has workers of its own, gone before the next",
        {
            _queue("windrow_attempts_total", task="t"): "0x10 500x10 1000x10 1500x10 2000x30",
            _live("w1"): "_x10 500x5 stale",
            _live("w2"): "_x21 500x5 stale",
            _live("w3"): "_x32 500x5 stale",
            _live("w4"): "_x43 500x5 stale",
        },
        45,
    ),
    Case("no server leads", {LEADER: "0x60"}, 5, {"WindrowNoLeader": (NONE, "No server leads.")}),
    Case("no server is there", {LEADER: "_x60"}, 5, {"WindrowNoLeader": (NONE, "No server leads.")}),
    Case("the lead goes over within a minute", {LEADER: "1x5 0 1x60"}, 7),
    Case(
        "two servers lead",
        {'windrow_leader{instance="b"}': "1x60"},
        5,
        {"WindrowTwoLeaders": (NONE, "2 servers say that they lead.")},
    ),
    Case("one leads, and one waits", {'windrow_leader{instance="b"}': "0x60"}, 5),
    Case(
        "two operators lead",
        {'windrow_operator_leader{instance="a"}': "1x60", 'windrow_operator_leader{instance="b"}': "1x60"},
        5,
        {"WindrowOperatorLeader": (NONE, "2 operators hold the Lease; one must.")},
    ),
    Case(
        "the operator is gone",
        {'windrow_operator_leader{instance="a"}': "1x10 stale"},
        20,
        {"WindrowOperatorLeader": (NONE, "0 operators hold the Lease; one must.")},
    ),
    Case("one operator leads, and one waits", {'windrow_operator_leader{instance="a"}': "1x60"}, 20),
    Case(
        "partitions end tomorrow",
        {"windrow_records_partitions_ahead_days": "1x60"},
        20,
        {"WindrowPartitionHorizon": (NONE, "The records have partitions for only 1 days after today.")},
    ),
    Case("just after midnight", {"windrow_records_partitions_ahead_days": "2x60"}, 40),
    Case(
        "Redis is nearly full",
        {"windrow_redis_memory_bytes": "90x60", "windrow_redis_memory_max_bytes": "100x60"},
        10,
        {"WindrowRedisMemory": (NONE, "Redis uses 90% of the memory it may use.")},
    ),
    Case("Redis has no limit", {"windrow_redis_memory_bytes": "90x60", "windrow_redis_memory_max_bytes": "0x60"}, 10),
    Case(
        "no server reaches Redis",
        {'windrow_redis_up{instance="a"}': "0x60", 'windrow_redis_up{instance="b"}': "0x60"},
        5,
        {"WindrowRedisAway": (NONE, "No server reaches Redis.")},
    ),
    Case(
        "one of two servers reaches Redis",
        {'windrow_redis_up{instance="a"}': "0x60", 'windrow_redis_up{instance="b"}': "1x60"},
        5,
    ),
    Case(
        "the leader does not reach PostgreSQL",
        {'windrow_database_up{instance="a"}': "0x60"},
        5,
        {"WindrowDatabaseAway": (NONE, "The leading server does not reach PostgreSQL.")},
    ),
    Case("another server does not reach PostgreSQL", {'windrow_database_up{instance="b"}': "0x60"}, 5),
)


def promtool() -> dict[str, Any]:
    """A file for `promtool test rules`, beside `windrow.yaml`."""
    return {"rule_files": ["windrow.yaml"], "evaluation_interval": "1m", "tests": [_test(case) for case in CASES]}


def _test(case: Case) -> dict[str, Any]:
    series = HEALTHY | dict(case.series)
    at = f"{case.at}m"
    firing = [
        {"labels": _labels("ALERTS", {"alertname": name, "alertstate": "firing", **_own(name, labels)}), "value": 1}
        for name, (labels, _) in case.fires.items()
    ]
    return {
        "name": case.name,
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": 'ALERTS{alertstate="firing"}', "eval_time": at, "exp_samples": firing}],
        "alert_rule_test": [_expected(name, at, *expected) for name, expected in case.fires.items()],
    }


def _expected(name: str, at: str, labels: Mapping[str, str], summary: str) -> dict[str, Any]:
    annotations = {
        "summary": summary,
        "description": BY_NAME[name].description,
        "runbook_url": f"{RUNBOOKS}/{name}.md",
    }
    expected = {"exp_labels": _own(name, labels), "exp_annotations": annotations}
    return {"eval_time": at, "alertname": name, "exp_alerts": [expected]}


def _own(name: str, labels: Mapping[str, str]) -> dict[str, str]:
    return {**labels, "severity": BY_NAME[name].severity}


def _labels(metric: str, labels: Mapping[str, str]) -> str:
    given = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{metric}{{{given}}}"
