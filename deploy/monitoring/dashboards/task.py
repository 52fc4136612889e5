"""One task: how it ends, how many attempts that takes, with which errors, and for how long it runs."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import variables
from deploy.monitoring.dashboards.page import Json, Panels, link, page
from deploy.monitoring.dashboards.panels import ANY_IS_BAD, BYTES, RATIO, SECONDS, Ask, Column, figure, lines, of, rows
from deploy.monitoring.dashboards.promql import BADLY, EITHER, WELL, counted, share
from deploy.monitoring.dashboards.sql import LIMIT, Sql, accepted_in_time, moment

UID: Final = "windrow-task"
HERE: Final = 'installation=~"$installation", queue=~"$queue", task="$task"'
ENDED_BADLY: Final = f"{HERE}, {BADLY}"
ENDED: Final = "windrow_executions_finished_total"
AN_EXECUTION: Final = link("windrow-executions", "postgres", search="${__value.raw}")


def dashboard() -> Json:
    """The dashboard."""
    return page(
        UID,
        "Windrow / Task",
        "One task: how it ends, how many attempts that takes, with which errors, and for how long it runs. Figures from "
        "PostgreSQL are of executions accepted in the time shown, on whatever queue.",
        [
            variables.prometheus(),
            variables.postgres(),
            variables.installation(),
            variables.queue(every=True),
            variables.task(),
        ],
        {"Now": _now(), "Outcomes": _outcomes(), "Durations": _durations()},
    )


def _now() -> Panels:
    return [
        figure(
            "What part of its executions ended in success?",
            "Of those that ended in the time shown; cancelled and rejected ones count neither way.",
            RATIO,
            Ask(share(counted(ENDED, f"{HERE}, {WELL}"), counted(ENDED, f"{HERE}, {EITHER}"))),
            width=6,
            decimals=2,
        ),
        figure(
            "How many of its executions ended badly?",
            "Those that ended in the time shown as failed, timed_out, lost or expired.",
            of("executions"),
            Ask(counted(ENDED, ENDED_BADLY)),
            width=6,
            steps=ANY_IS_BAD,
        ),
        figure(
            "How many attempts does an execution take?",
            "Attempts that ended in the time shown, for each execution that ended; 1 means that nothing was retried.",
            of("attempts"),
            Ask(share(counted("windrow_attempts_total", HERE), counted(ENDED, HERE))),
            width=6,
            decimals=2,
        ),
        figure(
            "What part of its attempts is retried?",
            "Of the attempts that ended in the time shown, those that ended in a retry.",
            RATIO,
            Ask(share(counted("windrow_retries_total", HERE), counted("windrow_attempts_total", HERE))),
            width=6,
            decimals=2,
        ),
    ]


def _outcomes() -> Panels:
    return [
        lines(
            "How do its executions end?",
            "Executions that reached a final state, a second, by state.",
            of("executions/s"),
            Ask(f"sum by (state) (rate(windrow_executions_finished_total{{{HERE}}}[$__rate_interval]))", "{{state}}"),
            stacked=True,
        ),
        lines(
            "How do its attempts end?",
            "Attempts, a second, by outcome, as the workers see them.",
            of("attempts/s"),
            Ask(f"sum by (outcome) (rate(windrow_task_attempts_total{{{HERE}}}[$__rate_interval]))", "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "With which errors do its attempts end?",
            "Attempts that ended with an error, a second, retried ones too, by the exception's class.",
            of("attempts/s"),
            Ask(f"sum by (error) (rate(windrow_failures_total{{{HERE}}}[$__rate_interval]))", "{{error}}"),
            stacked=True,
        ),
        lines(
            "How many retries does it ask for?",
            "Attempts that ended in a retry, a second, by queue.",
            of("attempts/s"),
            Ask(f"sum by (queue) (rate(windrow_retries_total{{{HERE}}}[$__rate_interval]))", "{{queue}}"),
            stacked=True,
        ),
        rows(
            "What do its last errors say?",
            "The newest attempts that ended with an error.",
            SECONDS,
            Sql(
                f"""
                SELECT a.ended_at, a.execution_id, a.outcome, a.error, a.message, a.run_s
                FROM windrow.attempts a
                WHERE {accepted_in_time("a.execution_id")} AND a.task = ${{task:sqlstring}} AND a.error IS NOT NULL
                ORDER BY a.ended_at DESC NULLS LAST
                LIMIT {LIMIT}
                """
            ),
            columns={
                "ended_at": Column(title="Ended", width=170),
                "execution_id": Column(title="Execution", link=AN_EXECUTION, width=310),
                "outcome": Column(title="Outcome", width=110),
                "error": Column(title="Error", width=180),
                "message": Column(title="Text"),
                "run_s": Column(title="Ran", unit=SECONDS, width=90),
            },
        ),
    ]


def _durations() -> Panels:
    ended = f"""
        FROM windrow.attempts a
        WHERE {accepted_in_time("a.execution_id")} AND $__timeFilter(a.ended_at) AND a.task = ${{task:sqlstring}}
        GROUP BY 1
        ORDER BY 1
    """
    return [
        lines(
            "How long did its attempts run?",
            "Half, 95 % and all of the attempts that ended ran no longer.",
            SECONDS,
            Sql(
                f"""
                SELECT {moment("a.ended_at")},
                  percentile_cont(0.5) WITHIN GROUP (ORDER BY a.run_s) AS "50 %",
                  percentile_cont(0.95) WITHIN GROUP (ORDER BY a.run_s) AS "95 %",
                  max(a.run_s) AS "100 %"
                {ended}
                """
            ),
        ),
        lines(
            "How long did its attempts wait, ready?",
            "Half, 95 % and all of the attempts that ended had waited no longer before they started.",
            SECONDS,
            Sql(
                f"""
                SELECT {moment("a.ended_at")},
                  percentile_cont(0.5) WITHIN GROUP (ORDER BY a.wait_s) AS "50 %",
                  percentile_cont(0.95) WITHIN GROUP (ORDER BY a.wait_s) AS "95 %",
                  max(a.wait_s) AS "100 %"
                {ended}
                """
            ),
        ),
        lines(
            "How much memory did its attempts need?",
            "The most resident memory that a process held while it ran an attempt: half, 95 % and all needed no more.",
            BYTES,
            Sql(
                f"""
                SELECT {moment("a.ended_at")},
                  percentile_cont(0.5) WITHIN GROUP (ORDER BY a.peak_bytes) AS "50 %",
                  percentile_cont(0.95) WITHIN GROUP (ORDER BY a.peak_bytes) AS "95 %",
                  max(a.peak_bytes) AS "100 %"
                {ended}
                """
            ),
        ),
        lines(
            "How much CPU did its attempts use?",
            "CPU seconds of an attempt, where they are known: half, 95 % and all used no more.",
            SECONDS,
            Sql(
                f"""
                SELECT {moment("a.ended_at")},
                  percentile_cont(0.5) WITHIN GROUP (ORDER BY a.cpu_s) AS "50 %",
                  percentile_cont(0.95) WITHIN GROUP (ORDER BY a.cpu_s) AS "95 %",
                  max(a.cpu_s) AS "100 %"
                {ended}
                """
            ),
        ),
        rows(
            "Which of its executions ran longest?",
            "By the running time of their last attempt.",
            SECONDS,
            Sql(
                f"""
                SELECT e.id, s.code AS state, e.attempt_count, e.run_s, e.finished_at
                FROM windrow.executions e JOIN windrow.execution_statuses s ON s.id = e.status_id
                WHERE {accepted_in_time("e.id")} AND e.task = ${{task:sqlstring}} AND e.run_s IS NOT NULL
                ORDER BY e.run_s DESC
                LIMIT {LIMIT}
                """
            ),
            columns={
                "id": Column(title="Execution", link=AN_EXECUTION, width=310),
                "state": Column(title="State"),
                "attempt_count": Column(title="Attempts", unit=of("attempts")),
                "run_s": Column(title="Ran", unit=SECONDS),
                "finished_at": Column(title="Ended"),
            },
        ),
    ]
