"""All queues: what fires, how much of the error budgets is left, who waits, who fails."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import variables
from deploy.monitoring.dashboards.page import Json, Panels, link, page
from deploy.monitoring.dashboards.panels import (
    ANY_IS_BAD,
    BELOW_IS_BAD,
    BURN,
    NO_YES,
    RATIO,
    SECONDS,
    TIMES,
    YES_NO,
    Ask,
    Column,
    figure,
    gauges,
    lines,
    of,
    rows,
)
from deploy.monitoring.dashboards.promql import failed, grown, share

UID: Final = "windrow-overview"
HERE: Final = 'installation=~"$installation"'
BAD: Final = grown("windrow:ended_bad:sum", HERE)
ALL: Final = grown("windrow:ended:sum", HERE)
ENDED: Final = "windrow_executions_finished_total"
BY: Final = "by (installation, queue)"
NAMED: Final = "{{queue}} {{installation}}"
ONE_QUEUE: Final = (
    "The queue ${__field.labels.queue}",
    link("windrow-queue", "prometheus", "installation", queue="${__field.labels.queue}"),
)
A_QUEUE: Final = link("windrow-queue", "prometheus", "installation", queue="${__value.raw}")
A_TASK: Final = link("windrow-task", "prometheus", "installation", queue="${__data.fields.queue}", task="${__value.raw}")


def dashboard() -> Json:
    """The dashboard."""
    return page(
        UID,
        "Windrow / Overview",
        "All queues: what fires, how much of the error budgets is left, who waits, who fails. A queue leads to its dashboard.",
        [variables.prometheus(), variables.installation()],
        {"Now": _now(), "Error budgets": _budgets(), "Waiting and ending": _flow(), "Failures": _failures()},
        alerts=HERE,
    )


def _now() -> Panels:
    firing = f'ALERTS{{alertname=~"Windrow.+", alertstate="firing", {HERE}}}'
    return [
        figure(
            "How many alerts fire?",
            "Alerts of Windrow that fire now; each has a runbook.",
            of("alerts"),
            Ask(f"count({firing}) or vector(0)"),
            steps=ANY_IS_BAD,
        ),
        figure(
            "How many tasks wait, ready?",
            "Ready tasks of all queues that no worker has taken.",
            of("tasks"),
            Ask(f'sum(max {BY} (windrow_queue_tasks{{{HERE}, state="ready"}}))'),
        ),
        figure(
            "How long has the oldest ready task of all waited?",
            "The longest wait among all queues; 0 when nothing is ready.",
            SECONDS,
            Ask(f"max(windrow_queue_oldest_age_seconds{{{HERE}}})"),
        ),
        figure(
            "How many executions end?",
            "Executions that reached a final state, a second, whatever the state.",
            of("executions/s"),
            Ask(f"sum(rate({ENDED}{{{HERE}}}[$__rate_interval]))"),
        ),
        figure(
            "What part of the executions ended in success?",
            "Of the executions that ended in the time shown; cancelled and rejected ones count neither way.",
            RATIO,
            Ask(f"1 - {share(f'sum({BAD})', f'sum({ALL})')}"),
            decimals=2,
        ),
        figure(
            "How many executions were lost?",
            "Executions that died with their worker and could not start again, in the time shown.",
            of("executions"),
            Ask(f"sum({grown('windrow:lost:sum', HERE)})"),
            steps=ANY_IS_BAD,
        ),
        rows(
            "Which queue needs somebody?",
            "A line for each queue: what waits and for how long, its target, its workers, what ended badly in the time "
            "shown, and what is left of its budgets over 3 days (empty without an objective).",
            of("tasks"),
            Ask(f'max {BY} (windrow_queue_tasks{{{HERE}, state="ready"}})'),
            Ask(f"max {BY} (windrow_queue_oldest_age_seconds{{{HERE}}})"),
            Ask(f"max {BY} (windrow_queue_wait_target_seconds{{{HERE}}})"),
            Ask(f'sum {BY} (max by (installation, queue, state) (windrow_workers{{{HERE}, state!="crashing"}}))'),
            Ask(f"max {BY} (windrow_queue_served{{{HERE}}})"),
            Ask(f"max {BY} (windrow_queue_paused{{{HERE}}})"),
            Ask(f"max {BY} ({BAD})"),
            Ask(f"max {BY} (windrow:success_budget_left:ratio{{{HERE}}})"),
            Ask(f"max {BY} (windrow:start_budget_left:ratio{{{HERE}}})"),
            columns={
                "installation": Column(title="Installation"),
                "queue": Column(title="Queue", link=A_QUEUE),
                "Value #A": Column(title="Ready"),
                "Value #B": Column(title="Oldest", unit=SECONDS),
                "Value #C": Column(title="Wait target", unit=SECONDS),
                "Value #D": Column(title="Workers", unit=of("workers")),
                "Value #E": Column(title="Served", words=YES_NO),
                "Value #F": Column(title="Paused", words=NO_YES),
                "Value #G": Column(title="Ended badly", unit=of("executions")),
                "Value #H": Column(title="Success budget left", unit=RATIO, steps=BELOW_IS_BAD),
                "Value #I": Column(title="Start budget left", unit=RATIO, steps=BELOW_IS_BAD),
            },
            height=10,
            sort=("Oldest", True),
        ),
        rows(
            "For how long did each alert fire?",
            "Alerts that fired in the time shown, to a quarter of a minute.",
            SECONDS,
            Ask(f"sum by (installation, queue, alertname, severity) (count_over_time({firing}[$__range:15s])) * 15"),
            columns={
                "alertname": Column(title="Alert"),
                "severity": Column(title="Severity"),
                "queue": Column(title="Queue", link=A_QUEUE),
                "installation": Column(title="Installation"),
                "Value": Column(title="Fired"),
            },
            height=6,
            sort=("Fired", True),
        ),
    ]


def _budgets() -> Panels:
    return [
        gauges(
            "How much of each success budget is left?",
            "Of the executions that may fail over 3 days by the queue's objective; below 0 it is overspent. Only queues with "
            "objectives.success.",
            RATIO,
            Ask(f"max {BY} (windrow:success_budget_left:ratio{{{HERE}}})", NAMED),
            steps=BELOW_IS_BAD,
            low=-0.5,
            high=1,
            link=ONE_QUEUE,
        ),
        gauges(
            "How much of each start budget is left?",
            "Of the attempts that may start late over 3 days by the queue's objective; below 0 it is overspent. Only queues "
            "with objectives.start.",
            RATIO,
            Ask(f"max {BY} (windrow:start_budget_left:ratio{{{HERE}}})", NAMED),
            steps=BELOW_IS_BAD,
            low=-0.5,
            high=1,
            link=ONE_QUEUE,
        ),
        lines(
            "How fast is each success budget burnt?",
            "Times as fast as the objective allows, over the last hour: at 1 the budget lasts as long as its window. Alerts "
            "page at 14.4 over an hour and at 6 over six.",
            TIMES,
            Ask(f"max {BY} (windrow:success_burn:rate1h{{{HERE}}})", NAMED),
            steps=BURN,
            link=ONE_QUEUE,
        ),
        lines(
            "How fast is each start budget burnt?",
            "Times as fast as the objective allows, over the last hour: at 1 the budget lasts as long as its window. Alerts "
            "page at 14.4 over an hour and at 6 over six.",
            TIMES,
            Ask(f"max {BY} (windrow:start_burn:rate1h{{{HERE}}})", NAMED),
            steps=BURN,
            link=ONE_QUEUE,
        ),
    ]


def _flow() -> Panels:
    return [
        lines(
            "How long has the oldest ready task of each queue waited?",
            "0 when nothing is ready.",
            SECONDS,
            Ask(f"max {BY} (windrow_queue_oldest_age_seconds{{{HERE}}})", NAMED),
            link=ONE_QUEUE,
        ),
        lines(
            "How many tasks wait in each queue?",
            "Ready tasks that no worker has taken.",
            of("tasks"),
            Ask(f'max {BY} (windrow_queue_tasks{{{HERE}, state="ready"}})', NAMED),
            stacked=True,
            link=ONE_QUEUE,
        ),
        lines(
            "How many executions of each queue end?",
            "Executions that reached a final state, a second, whatever the state.",
            of("executions/s"),
            Ask(f"sum {BY} (rate(windrow_executions_finished_total{{{HERE}}}[$__rate_interval]))", NAMED),
            stacked=True,
            link=ONE_QUEUE,
        ),
        lines(
            "How many workers does each queue have?",
            "Busy, idle or draining.",
            of("workers"),
            Ask(f'sum {BY} (max by (installation, queue, state) (windrow_workers{{{HERE}, state!="crashing"}}))', NAMED),
            stacked=True,
            link=ONE_QUEUE,
        ),
    ]


def _failures() -> Panels:
    return [
        lines(
            "How do executions end that don't succeed?",
            "Final states other than success, a second.",
            of("executions/s"),
            Ask(
                f'sum by (state) (rate(windrow_executions_finished_total{{{HERE}, state!="success"}}[$__rate_interval]))',
                "{{state}}",
            ),
            stacked=True,
        ),
        rows(
            "Who is failing?",
            "Attempts that ended with an error in the time shown, retried ones too, by the exception's class; the 20 most.",
            of("attempts"),
            Ask(f"topk(20, {failed(HERE, 'installation', 'queue', 'task', 'error')} > 0)"),
            width=12,
            columns={
                "installation": Column(title="Installation"),
                "queue": Column(title="Queue", link=A_QUEUE),
                "task": Column(title="Task", link=A_TASK),
                "error": Column(title="Error"),
                "Value": Column(title="Failed"),
            },
            sort=("Failed", True),
        ),
    ]
