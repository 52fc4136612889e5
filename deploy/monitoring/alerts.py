"""Alerts: what is broken, for whom, since when. `critical` pages a person, `warning` opens a ticket.

Each has one cause in mind, a runbook of its name, and a test both ways. Everything about counts rests on exact totals; live
figures say what happens now.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from deploy.monitoring.recording import QUEUE, one
from deploy.monitoring.windows import Windows

Severity = Literal["critical", "warning"]

RUNBOOKS = "https://windrow.dev/runbooks"
"""Where runbooks are read; `python -m deploy.monitoring --runbooks URL` and the chart's values name another place."""

TASKS, READY, IN_FLIGHT = "windrow_queue_tasks", 'state="ready"', 'state="in_flight"'
WORKERS, CRASHING = "windrow_workers", 'state="crashing"'

FEW = 3
"""A budget's alert needs so many bad events in its long window: one failure of a rare task wakes nobody."""


@dataclass(frozen=True)
class Alert:
    """One alerting rule; `expr` and `lasting` are made for windows."""

    name: str
    severity: Severity
    expr: Callable[[Windows], str]
    lasting: str
    """How long it must hold before it fires, nominally; `0s`: at once."""
    summary: str
    """One sentence that names the queue, where it is about one, and the figure."""
    description: str

    @property
    def about_queue(self) -> bool:
        """Whether it is about one queue, which its labels name."""
        return "$labels.queue" in self.summary


def _burn(objective: str, bad: str, *pairs: tuple[float, str, str], told: tuple[str, ...] = ()) -> Callable[[Windows], str]:
    """Both of a pair's windows must spend the budget faster than `pair[0]`: the long one says it matters, the short one that
    it goes on.

    What an alert of `told` has said within the short window is not said again: that window still holds what was mended, and
    Alertmanager's inhibition ends with the alert that inhibits.
    """

    def expr(windows: Windows) -> str:
        speed = f"windrow:{objective}_burn:rate"
        firing = f'ALERTS{{alertname=~"{"|".join(told)}", alertstate="firing"}}'
        return " or ".join(
            f"({speed}{long} > {factor:g} and {speed}{short} > {factor:g} and increase({bad}[{windows(long)}]) > {FEW - 0.5:g}"
            + (f" unless on ({QUEUE}) last_over_time({firing}[{windows(short)}]))" if told else ")")
            for factor, long, short in pairs
        )

    return expr


def _budget(objective: str, what: str, bad: str) -> tuple[Alert, ...]:
    name, label = objective.capitalize(), "Queue {{ $labels.queue }}"
    fast, slow = f"Windrow{name}BudgetFast", f"Windrow{name}BudgetSlow"
    return (
        Alert(
            fast,
            "critical",
            _burn(objective, bad, (14.4, "1h", "5m")),
            "0s",
            f"{label} spends its budget of {what} {{{{ $value | humanize }}}} times as fast as its objective allows.",
            f"At this speed 2 % of a month's budget of {what} are gone each hour.",
        ),
        Alert(
            slow,
            "critical",
            _burn(objective, bad, (6, "6h", "30m"), told=(fast,)),
            "0s",
            f"{label} has spent its budget of {what} {{{{ $value | humanize }}}} times too fast for hours.",
            f"At this speed 5 % of a month's budget of {what} are gone each six hours.",
        ),
        Alert(
            f"Windrow{name}BudgetTicket",
            "warning",
            _burn(objective, bad, (3, "1d", "2h"), (1, "3d", "6h"), told=(fast, slow)),
            "0s",
            f"{label} has spent its budget of {what} {{{{ $value | humanize }}}} times too fast for a day or more.",
            f"If it goes on, the month's budget of {what} will be gone before the month is.",
        ),
    )


def _nothing_moves(windows: Windows) -> str:
    window = windows("5m")
    return (
        f"{one(TASKS, READY)} > 0 "
        f"and {one(TASKS, IN_FLIGHT)} == 0 "
        f"and {one('windrow_queue_served')} == 1 and {one('windrow_queue_paused')} == 0 "
        f"unless increase(windrow:attempts:sum[{window}]) > 0"
    )


def _serving() -> str:
    return f'sum by ({QUEUE}) (max by ({QUEUE}, state) (windrow_workers{{state=~"busy|idle"}}))'


def _apart(windows: Windows) -> str:
    """Live counters start at zero with their worker: what a new worker shows at its first scrape counts too."""
    window, metric = windows("15m"), 'windrow_task_attempts_total{outcome!="refused"}'
    exact = f"increase(windrow:attempts:sum[{window}])"
    before = f"(sum by ({QUEUE}) ({metric} offset {window}) or 0 * {exact})"
    live = f"((sum by ({QUEUE}) (last_over_time({metric}[{window}])) or 0 * {exact}) - {before})"
    ratio = f"{live} / ({exact} > 50)"
    return f"{ratio} < 0.5 or {ratio} > 1.5"


def _no_operator(windows: Windows) -> str:
    leaders = "sum by (installation) (windrow_operator_leader)"
    gone = f"count by (installation) (last_over_time(windrow_operator_leader[{windows('1h')}]))"
    return f"{leaders} != 1 or 0 * ({gone} unless {leaders})"


ALERTS: tuple[Alert, ...] = (
    *_budget("success", "failures", "windrow:ended_bad:sum"),
    *_budget("start", "late starts", "windrow:starts_late:sum"),
    Alert(
        "WindrowQueueStalled",
        "critical",
        _nothing_moves,
        "5m",
        "Queue {{ $labels.queue }} has {{ $value }} tasks ready, and none of them has started for minutes.",
        "Nothing is in flight, nothing has ended, and the queue is not paused.",
    ),
    Alert(
        "WindrowWorkersMissing",
        "warning",
        lambda windows: f"{one('windrow_workers_wanted')} - {_serving()} > 0",
        "5m",
        "Queue {{ $labels.queue }} lacks {{ $value }} workers that were asked for.",
        "They were decided on, and have not registered: pods that are pending, or workers that hang while they start.",
    ),
    Alert(
        "WindrowWorkersCrashLooping",
        "critical",
        lambda windows: f"{one(WORKERS, CRASHING)} > 0",
        "2m",
        "{{ $value }} workers of queue {{ $labels.queue }} end again and again before they serve.",
        "Most often the app can't be loaded, or an environment variable is missing: the last lines of their logs say which.",
    ),
    Alert(
        "WindrowAtMaxReplicas",
        "warning",
        lambda windows: (
            f"{one('windrow_queue_oldest_age_seconds')} > {one('windrow_queue_wait_target_seconds')} "
            f"and {one('windrow_workers_wanted')} >= {one('windrow_workers_max')} unless {one('windrow_queue_paused')} == 1"
        ),
        "10m",
        "Queue {{ $labels.queue }} may have no more workers, and its oldest task waits {{ $value | humanizeDuration }}.",
        "More arrives than maxReplicas workers can do within waitTarget.",
    ),
    Alert(
        "WindrowExecutionsLost",
        "critical",
        lambda windows: f"increase(windrow:lost:sum[{windows('15m')}]) > 0.5",
        "0s",
        "Queue {{ $labels.queue }} has lost {{ $value | humanize }} executions within 15 minutes.",
        "Each is on record as `lost` with its reason; nothing will run it again by itself.",
    ),
    Alert(
        "WindrowStuckRunning",
        "warning",
        lambda windows: f"{one('windrow_queue_longest_run_seconds')} > {one('windrow_queue_run_limit_seconds')}",
        "5m",
        "A task of queue {{ $labels.queue }} has run {{ $value | humanizeDuration }}, past its queue's time limit.",
        "It has not ended at SoftTimeLimitExceeded; it holds a slot until the hard limit ends it.",
    ),
    Alert(
        "WindrowRetryStorm",
        "warning",
        lambda windows: (
            f"rate(windrow:retries:sum[{windows('15m')}]) / (rate(windrow:attempts:sum[{windows('15m')}]) > 0) > 0.5 "
            f"and increase(windrow:retries:sum[{windows('15m')}]) > 20"
        ),
        "5m",
        "{{ $value | humanizePercentage }} of the attempts of queue {{ $labels.queue }} end in a retry.",
        "Workers do the same work again and again; what the tasks depend on is probably down.",
    ),
    Alert(
        "WindrowRecordsNotWritten",
        "critical",
        lambda windows: "max by (installation) (windrow_records_lag_seconds) > 30",
        "2m",
        "The records are {{ $value | humanizeDuration }} behind.",
        "Tasks run on; what they did waits in Redis, whose memory it fills, and exact figures stand still.",
    ),
    Alert(
        "WindrowRecordsDropped",
        "critical",
        lambda windows: f"sum by (installation) (increase(windrow_records_dropped_total[{windows('15m')}])) > 0.5",
        "0s",
        "{{ $value | humanize }} events could not be recorded within 15 minutes.",
        "The records, and all exact totals, lack them for good; the server's log has each.",
    ),
    Alert(
        "WindrowQueueUnserved",
        "warning",
        lambda windows: f"{one(TASKS, READY)} > 0 and {one('windrow_queue_served')} == 0",
        "5m",
        "Queue {{ $labels.queue }} has {{ $value }} tasks ready, and nobody serves it.",
        "No QueueWorker has this queue, and no worker takes from it: perhaps a route with a typing error.",
    ),
    Alert(
        "WindrowFiguresApart",
        "warning",
        _apart,
        "15m",
        "Workers of queue {{ $labels.queue }} have shown {{ $value | humanizePercentage }} of the attempts that are on record.",
        "Live and exact figures must be of one size: perhaps workers are not scraped, or the records are not of these workers.",
    ),
    Alert(
        "WindrowNoLeader",
        "critical",
        lambda windows: "sum by (installation) (windrow_leader) == 0 or absent(windrow_leader)",
        "1m",
        "No server leads.",
        "Nobody gives back the tasks of dead workers, sends due tasks on or writes records. Accepted tasks still run.",
    ),
    Alert(
        "WindrowTwoLeaders",
        "critical",
        lambda windows: "sum by (installation) (windrow_leader) > 1",
        "1m",
        "{{ $value }} servers say that they lead.",
        "One installation has one leader: perhaps two installations are scraped as one, or share a Redis in part.",
    ),
    Alert(
        "WindrowOperatorLeader",
        "critical",
        _no_operator,
        "2m",
        "{{ $value }} operators hold the Lease; one must.",
        "Queues are not scaled and QueueWorkers not reconciled; workers that are there work on.",
    ),
    Alert(
        "WindrowPartitionHorizon",
        "warning",
        lambda windows: "max by (installation) (windrow_records_partitions_ahead_days) < 2",
        "15m",
        "The records have partitions for only {{ $value }} days after today.",
        "The leader makes three days ahead each hour; without a day's partition records are still written, more slowly.",
    ),
    Alert(
        "WindrowRedisMemory",
        "warning",
        lambda windows: (
            "max by (installation) (windrow_redis_memory_bytes) / "
            "(max by (installation) (windrow_redis_memory_max_bytes) > 0) > 0.85"
        ),
        "5m",
        "Redis uses {{ $value | humanizePercentage }} of the memory it may use.",
        "At 100 % new tasks are refused; what was accepted goes on.",
    ),
    Alert(
        "WindrowRedisAway",
        "critical",
        lambda windows: "max by (installation) (windrow_redis_up) == 0",
        "1m",
        "No server reaches Redis.",
        "No task is accepted or taken. Running ones go on, and nothing accepted is lost.",
    ),
    Alert(
        "WindrowDatabaseAway",
        "critical",
        lambda windows: "max by (installation) ((windrow_database_up == 0) and (windrow_leader == 1)) == 0",
        "2m",
        "The leading server does not reach PostgreSQL.",
        "Tasks run on; durable calls are refused, and what happens waits in Redis to be recorded.",
    ),
)

BY_NAME = {alert.name: alert for alert in ALERTS}
