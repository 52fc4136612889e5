"""One queue: what it holds, how long that waits and runs, its budgets, its workers and why there are so many."""

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
    lines,
    of,
    rows,
)
from deploy.monitoring.dashboards.promql import counted, failed, grown

UID: Final = "windrow-queue"
HERE: Final = 'installation=~"$installation", queue="$queue"'
BY: Final = "by (installation)"
WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
A_TASK: Final = link("windrow-task", "prometheus", "installation", queue="${queue}", task="${__value.raw}")


def dashboard() -> Json:
    """The dashboard."""
    return page(
        UID,
        "Windrow / Queue",
        "One queue: what it holds, how long that waits and runs, its budgets, its workers and why there are so many.",
        [variables.prometheus(), variables.installation(), variables.queue()],
        {"Now": _now(), "Tasks": _tasks(), "Workers": _workers(), "Error budgets": _budgets(), "Outcomes": _outcomes()},
        alerts=HERE,
    )


def _now() -> Panels:
    return [
        figure(
            "Does anybody serve this queue?",
            "Whether a QueueWorker or a worker is there for it; what waits in a queue that nobody serves waits for ever.",
            "none",
            Ask(f"max(windrow_queue_served{{{HERE}}})"),
            steps=(("red", None), ("green", 1.0)),
            words=YES_NO,
        ),
        figure(
            "Is it paused?",
            "A paused queue takes in tasks and starts none.",
            "none",
            Ask(f"max(windrow_queue_paused{{{HERE}}})"),
            steps=(("green", None), ("orange", 1.0)),
            words=NO_YES,
        ),
        figure(
            "How long has the oldest ready task waited until now?",
            "0 when nothing is ready.",
            SECONDS,
            Ask(f"max(windrow_queue_oldest_age_seconds{{{HERE}}})"),
        ),
        figure(
            "How much of the success budget is left?",
            "Over 3 days; below 0 it is overspent; – without objectives.success.",
            RATIO,
            Ask(f"min(windrow:success_budget_left:ratio{{{HERE}}})"),
            steps=BELOW_IS_BAD,
        ),
        figure(
            "How much of the start budget is left?",
            "Over 3 days; below 0 it is overspent; – without objectives.start.",
            RATIO,
            Ask(f"min(windrow:start_budget_left:ratio{{{HERE}}})"),
            steps=BELOW_IS_BAD,
        ),
        figure(
            "How many executions were lost?",
            "Executions that died with their worker and could not start again, in the time shown.",
            of("executions"),
            Ask(f"sum({grown('windrow:lost:sum', HERE)})"),
            steps=ANY_IS_BAD,
        ),
    ]


def _tasks() -> Panels:
    return [
        lines(
            "How many tasks does the queue hold?",
            "Ready, delayed until a due time, or in flight: taken by a worker and not finished.",
            of("tasks"),
            Ask(f"sum by (state) (max by (installation, state) (windrow_queue_tasks{{{HERE}}}))", "{{state}}"),
            stacked=True,
        ),
        lines(
            "How long has the oldest ready task waited?",
            "Beside the queue's wait target (scaling.waitTarget), which the number of workers is chosen for.",
            SECONDS,
            Ask(f"max {BY} (windrow_queue_oldest_age_seconds{{{HERE}}})", "oldest {{installation}}"),
            Ask(f"max {BY} (windrow_queue_wait_target_seconds{{{HERE}}})", "target {{installation}}"),
            limits=["target"],
        ),
        lines(
            "How long did tasks wait before they started?",
            "Half, 95 % and 99 % of the attempts that started waited no longer, beside the time within which they should start "
            "(objectives.start).",
            SECONDS,
            *(
                Ask(_quantile(share, "windrow_task_queue_wait_seconds_bucket"), f"{share * 100:g} % {{{{installation}}}}")
                for share in (0.5, 0.95, 0.99)
            ),
            Ask(f"max {BY} (windrow_objective_start_within_seconds{{{HERE}}})", "within {{installation}}"),
            limits=["within"],
        ),
        lines(
            "How long did attempts run?",
            "Half, 95 % and 99 % of the attempts that ended ran no longer.",
            SECONDS,
            *(
                Ask(_quantile(share, "windrow_task_duration_seconds_bucket"), f"{share * 100:g} % {{{{installation}}}}")
                for share in (0.5, 0.95, 0.99)
            ),
        ),
        lines(
            "How long has the longest attempt been running?",
            "0 when none runs, beside the queue's time limit: the soft one, else the hard one.",
            SECONDS,
            Ask(f"max {BY} (windrow_queue_longest_run_seconds{{{HERE}}})", "longest {{installation}}"),
            Ask(f"max {BY} (windrow_queue_run_limit_seconds{{{HERE}}})", "limit {{installation}}"),
            limits=["limit"],
        ),
        lines(
            "How many attempts start late?",
            "Of the attempts that start, those that start later than objectives.start allows, beside the part that may; only "
            "with that objective.",
            RATIO,
            Ask(f"max {BY} (windrow:start_errors:ratio_rate5m{{{HERE}}})", "late {{installation}}"),
            Ask(f'1 - max {BY} (windrow_objective_target{{{HERE}, objective="start"}})', "allowed {{installation}}"),
            limits=["allowed"],
        ),
    ]


def _workers() -> Panels:
    return [
        lines(
            "What do this queue's workers do?",
            "Busy, idle or draining; crashing are those that are wanted and end again and again before they serve.",
            of("workers"),
            Ask(f"sum by (state) (max by (installation, state) (windrow_workers{{{HERE}}}))", "{{state}}"),
            stacked=True,
        ),
        lines(
            "Are there as many workers as wanted?",
            "Workers that are there and wanted, beside the most that there may be (scaling.maxReplicas).",
            of("workers"),
            Ask(
                f'sum {BY} (max by (installation, state) (windrow_workers{{{HERE}, state!="crashing"}}))',
                "there {{installation}}",
            ),
            Ask(f"max {BY} (windrow_workers_wanted{{{HERE}}})", "wanted {{installation}}"),
            Ask(f"max {BY} (windrow_workers_max{{{HERE}}})", "most {{installation}}"),
            limits=["most"],
        ),
        lines(
            "Why did the number of workers change?",
            "Scaling decisions that changed it, by their reason; docs/scaling.md says what each means.",
            of("decisions"),
            Ask(f"sum by (reason) (increase(windrow_scaling_decisions_total{{{HERE}}}[$__rate_interval]))", "{{reason}}"),
            stacked=True,
            bars=True,
        ),
        rows(
            "Which reasons changed it most often?",
            "Scaling decisions in the time shown.",
            of("decisions"),
            Ask(counted("windrow_scaling_decisions_total", HERE, "reason")),
            width=12,
            columns={"reason": Column(title="Reason"), "Value": Column(title="Decisions")},
            sort=("Decisions", True),
        ),
        lines(
            "How many slots are busy?",
            "Slots of the workers that are there, busy or idle.",
            of("slots"),
            Ask(f"sum by (state) (windrow_worker_slots{{{HERE}}})", "{{state}}"),
            stacked=True,
        ),
        lines(
            "Why were pool processes replaced?",
            "Processes that a worker replaced after so many tasks or so much memory (recycle).",
            of("processes"),
            Ask(f"sum by (reason) (increase(windrow_worker_recycles_total{{{HERE}}}[$__rate_interval]))", "{{reason}}"),
            stacked=True,
            bars=True,
        ),
    ]


def _budgets() -> Panels:
    return [
        lines(
            f"How fast is the {name} budget burnt?",
            f"Times as fast as objectives.{name} allows, over windows of five minutes to three days. An alert pages when both "
            "of its windows are above its line.",
            TIMES,
            *(Ask(f"max (windrow:{name}_burn:rate{window}{{{HERE}}})", window) for window in WINDOWS),
            steps=BURN,
        )
        for name in ("success", "start")
    ]


def _outcomes() -> Panels:
    return [
        lines(
            "How do executions end?",
            "Executions that reached a final state, a second, by state.",
            of("executions/s"),
            Ask(f"sum by (state) (rate(windrow_executions_finished_total{{{HERE}}}[$__rate_interval]))", "{{state}}"),
            stacked=True,
        ),
        lines(
            "How do attempts end?",
            "Attempts, a second, by outcome, as the workers see them.",
            of("attempts/s"),
            Ask(f"sum by (outcome) (rate(windrow_task_attempts_total{{{HERE}}}[$__rate_interval]))", "{{outcome}}"),
            stacked=True,
        ),
        rows(
            "Which tasks fail here?",
            "Attempts that ended with an error in the time shown, retried ones too, by the exception's class.",
            of("attempts"),
            Ask(f"topk(20, {failed(HERE, 'task', 'error')} > 0)"),
            width=12,
            columns={
                "task": Column(title="Task", link=A_TASK),
                "error": Column(title="Error"),
                "Value": Column(title="Failed"),
            },
            sort=("Failed", True),
        ),
        lines(
            "What was refused, so that it did not count twice?",
            "Ends of attempts whose message had been given to others (finish), and exact copies of messages (copy).",
            of("refusals"),
            Ask(f"sum by (reason) (increase(windrow_refusals_total{{{HERE}}}[$__rate_interval]))", "{{reason}}"),
            stacked=True,
            bars=True,
        ),
    ]


def _quantile(share: float, buckets: str) -> str:
    return f"histogram_quantile({share}, sum by (installation, le) (rate({buckets}{{{HERE}}}[$__rate_interval])))"
