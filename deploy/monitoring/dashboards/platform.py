"""The platform itself: servers, records, Redis, PostgreSQL, operators."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import variables
from deploy.monitoring.dashboards.page import Json, Panels, page
from deploy.monitoring.dashboards.panels import (
    ANY_IS_BAD,
    BYTES,
    MUST_BE_ONE,
    SECONDS,
    YES_NO,
    Ask,
    Column,
    Steps,
    figure,
    lines,
    of,
    rows,
)
from deploy.monitoring.dashboards.sql import Sql

UID: Final = "windrow-platform"
HERE: Final = 'installation=~"$installation"'
BY: Final = "by (installation)"
UP: Final[Steps] = (("red", None), ("green", 1.0))
NOT_RUN: Final = 'outcome!~"handed_back|refused"'
"""The outcomes of attempts that are told on record too."""


def dashboard() -> Json:
    """The dashboard."""
    return page(
        UID,
        "Windrow / Platform",
        "The platform itself: servers, records, Redis, PostgreSQL, operators.",
        [variables.prometheus(), variables.postgres(), variables.installation()],
        {"Now": _now(), "Records": _records(), "Redis and PostgreSQL": _stores(), "Operators": _operators()},
        alerts=HERE,
    )


def _now() -> Panels:
    return [
        figure(
            "How many servers lead?",
            "It must be one for each installation.",
            of("servers"),
            Ask(f"sum {BY} (windrow_leader{{{HERE}}})", "{{installation}}"),
            steps=MUST_BE_ONE,
        ),
        figure(
            "How many servers answer?",
            "Servers that were scraped.",
            of("servers"),
            Ask(f"count {BY} (windrow_leader{{{HERE}}})", "{{installation}}"),
        ),
        figure(
            "Do all servers reach Redis?",
            "No as soon as one of them does not.",
            "none",
            Ask(f"min {BY} (windrow_redis_up{{{HERE}}})", "{{installation}}"),
            steps=UP,
            words=YES_NO,
        ),
        figure(
            "Do all servers reach PostgreSQL?",
            "No as soon as one of them does not.",
            "none",
            Ask(f"min {BY} (windrow_database_up{{{HERE}}})", "{{installation}}"),
            steps=UP,
            words=YES_NO,
        ),
        figure(
            "How many operators lead?",
            "It must be one for each installation on Kubernetes; – on one machine.",
            of("operators"),
            Ask(f"sum {BY} (windrow_operator_leader{{{HERE}}})", "{{installation}}"),
            steps=MUST_BE_ONE,
        ),
        figure(
            "How many events could not be recorded?",
            "Since the leading server started; it must stay 0.",
            of("events"),
            Ask(f"max {BY} (windrow_records_dropped_total{{{HERE}}})", "{{installation}}"),
            steps=ANY_IS_BAD,
        ),
    ]


def _records() -> Panels:
    return [
        lines(
            "How far are the records behind?",
            "Age of the oldest event that is not on record yet; 0 when all are.",
            SECONDS,
            Ask(f"max {BY} (windrow_records_lag_seconds{{{HERE}}})", "lag {{installation}}"),
        ),
        lines(
            "Do exact and live figures agree?",
            "Attempts that ended, a second: on record, and as the workers saw them. They may differ for a moment, and where a "
            "worker was killed before its last scrape.",
            of("attempts/s"),
            Ask(f"sum {BY} (rate(windrow_attempts_total{{{HERE}}}[$__rate_interval]))", "exact {{installation}}"),
            Ask(
                f"sum {BY} (rate(windrow_task_attempts_total{{{HERE}, {NOT_RUN}}}[$__rate_interval]))", "live {{installation}}"
            ),
        ),
        lines(
            "How many calls wait in outboxes?",
            "Calls that a transaction has accepted and that are not on their queues yet.",
            of("calls"),
            Ask(f"max {BY} (windrow_outbox_rows{{{HERE}}})", "waiting {{installation}}"),
            width=8,
        ),
        lines(
            "How long has the oldest call in an outbox waited?",
            "0 when there is none.",
            SECONDS,
            Ask(f"max {BY} (windrow_outbox_oldest_age_seconds{{{HERE}}})", "oldest {{installation}}"),
            width=8,
        ),
        lines(
            "How many attempts' logs were dropped?",
            "Logs that are not kept with their attempts, because the event stream was full.",
            of("logs"),
            Ask(
                f"sum {BY} (increase(windrow_attempt_logs_dropped_total{{{HERE}}}[$__rate_interval]))",
                "dropped {{installation}}",
            ),
            width=8,
            bars=True,
        ),
    ]


def _stores() -> Panels:
    return [
        lines(
            "How much memory does Redis use?",
            "Beside the most that it may use (maxmemory); that line is at 0 where there is no limit.",
            BYTES,
            Ask(f"max {BY} (windrow_redis_memory_bytes{{{HERE}}})", "used {{installation}}"),
            Ask(f"max {BY} (windrow_redis_memory_max_bytes{{{HERE}}})", "most {{installation}}"),
            limits=["most"],
        ),
        lines(
            "For how many days ahead are partitions there?",
            "Records of a day without a partition can't be written.",
            of("days"),
            Ask(f"min {BY} (windrow_records_partitions_ahead_days{{{HERE}}})", "ahead {{installation}}"),
            steps=(("red", None), ("green", 2.0)),
        ),
        rows(
            "How large is each table of the records?",
            "With its indexes and all its days; estimated rows are those of PostgreSQL's statistics.",
            BYTES,
            Sql(
                """
                SELECT t.name AS "table", count(*) FILTER (WHERE p.isleaf) AS partitions,
                  sum(pg_total_relation_size(p.relid)) AS size,
                  sum(greatest(c.reltuples, 0)) FILTER (WHERE p.isleaf) AS rows
                FROM (VALUES ('executions'), ('attempts'), ('messages'), ('execution_reports'), ('execution_keys'), ('totals'))
                  t (name)
                CROSS JOIN LATERAL pg_partition_tree(('windrow.' || t.name)::regclass) p
                JOIN pg_class c ON c.oid = p.relid
                GROUP BY t.name
                ORDER BY size DESC
                """
            ),
            width=12,
            columns={
                "table": Column(title="Table"),
                "partitions": Column(title="Parts", unit="none"),
                "size": Column(title="Size", unit=BYTES),
                "rows": Column(title="Rows, estimated", unit=of("rows")),
            },
        ),
        rows(
            "Who is connected to PostgreSQL?",
            "Connections to this database by role, application and state; another role's state takes pg_read_all_stats.",
            of("connections"),
            Sql(
                """
                SELECT usename::text AS role, coalesce(application_name, '') AS application,
                  coalesce(state, 'not shown') AS state, count(*) AS connections
                FROM pg_stat_activity WHERE datname = current_database()
                GROUP BY 1, 2, 3 ORDER BY 4 DESC
                """
            ),
            width=12,
            columns={
                "role": Column(title="Role"),
                "application": Column(title="Application"),
                "state": Column(title="State"),
                "connections": Column(title="Connections"),
            },
        ),
    ]


def _operators() -> Panels:
    return [
        lines(
            "How long does the operator take for all queues?",
            "95 % of its ticks, one a second for each Redis, took no longer.",
            SECONDS,
            Ask(_quantile("windrow_operator_tick_seconds_bucket"), "tick {{installation}}"),
        ),
        lines(
            "How long does it take to bring a queue's objects up to date?",
            "95 % of the comparisons, with what they wrote, took no longer.",
            SECONDS,
            Ask(_quantile("windrow_operator_reconcile_seconds_bucket"), "reconcile {{installation}}"),
        ),
        lines(
            "Why does the operator change numbers of workers?",
            "Decisions that changed one, by reason; docs/scaling.md says what each means.",
            of("decisions"),
            Ask(f"sum by (reason) (increase(windrow_operator_decisions_total{{{HERE}}}[$__rate_interval]))", "{{reason}}"),
            stacked=True,
            bars=True,
        ),
        lines(
            "How does the API server answer?",
            "Calls a second, watches left out, by code; 0 is no answer.",
            of("calls/s"),
            Ask(f"sum by (code) (rate(windrow_operator_api_calls_total{{{HERE}}}[$__rate_interval]))", "{{code}}"),
            stacked=True,
        ),
        lines(
            "How many objects could not be written?",
            "Refused by the API server, or not answered.",
            of("writes"),
            Ask(
                f"sum {BY} (increase(windrow_operator_reconcile_errors_total{{{HERE}}}[$__rate_interval]))",
                "errors {{installation}}",
            ),
            bars=True,
        ),
        lines(
            "How many pods went that were not meant to?",
            "Pods that a ReplicaSet gave up though their workers had not drained; each still finishes in its grace.",
            of("pods"),
            Ask(
                f"sum {BY} (increase(windrow_operator_wrong_victims_total{{{HERE}}}[$__rate_interval]))",
                "wrong {{installation}}",
            ),
            bars=True,
        ),
    ]


def _quantile(buckets: str) -> str:
    return f"histogram_quantile(0.95, sum by (installation, le) (rate({buckets}{{{HERE}}}[$__rate_interval])))"
