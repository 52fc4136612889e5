"""Executions from the records: what failed, what was slow, and a search."""

from __future__ import annotations

from typing import Final

from deploy.monitoring.dashboards import variables
from deploy.monitoring.dashboards.page import Json, Panels, link, page
from deploy.monitoring.dashboards.panels import BYTES, SECONDS, Column, lines, of, rows
from deploy.monitoring.dashboards.sql import LIMIT, Sql, accepted_in_time, moment

UID: Final = "windrow-executions"

AN_EXECUTION: Final = link(UID, "postgres", search="${__value.raw}")
CHOSEN: Final = f"""{accepted_in_time("e.id")} AND e.queue = ANY (ARRAY[${{queue:sqlstring}}]::text[])"""
SEARCHED: Final = "lower(${search:sqlstring})"
AS_ID: Final = (
    "CASE WHEN ${search:sqlstring}::text ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' "
    "THEN (${search:sqlstring}::text)::uuid END"
)
"""The search as an id, null when it is none."""
FAILED: Final = "('failed', 'timed_out', 'lost', 'rejected')"

EXECUTIONS: Final = "windrow.executions e JOIN windrow.execution_statuses s ON s.id = e.status_id"

ID: Final = Column(title="Execution", link=AN_EXECUTION, width=310)
RAN: Final = Column(title="Ran", unit=SECONDS, width=90)
WAITED: Final = Column(title="Waited", unit=SECONDS, width=90)
ATTEMPTS: Final = Column(title="Attempts", unit="none", width=90)
SHARED: Final = {
    "id": ID,
    "finished_at": Column(title="Ended", width=170),
    "accepted_at": Column(title="Accepted", width=170),
    "started_at": Column(title="Started", width=170),
    "state": Column(title="State", width=90),
    "queue": Column(title="Queue", width=130),
    "task": Column(title="Task"),
    "task_id": Column(title="Task id"),
    "attempt_count": ATTEMPTS,
    "run_s": RAN,
    "wait_s": WAITED,
    "error": Column(title="Error", width=160),
    "error_message": Column(title="Text"),
    "reason": Column(title="Reason"),
    "worker": Column(title="Worker"),
}


def dashboard() -> Json:
    """The dashboard."""
    return page(
        UID,
        "Windrow / Executions",
        "Executions from the records: what failed, what was slow, and a search. All are those accepted in the time shown, on "
        "the chosen queues; an execution's id leads to its attempts.",
        [
            variables.postgres(),
            variables.recorded("queue", "Queue", "SELECT DISTINCT queue FROM windrow.totals ORDER BY 1"),
            variables.text("search", "Search"),
        ],
        {"Search": _search(), "Failures": _failures(), "Slow": _slow(), "Counts": _counts()},
        time="now-24h",
        refresh="1m",
    )


def _search() -> Panels:
    return [
        rows(
            "Which executions match the search?",
            "The newest whose id, task id, own execution_id, task, trace, error, arguments or result hold the text, in any "
            "case; without a text, the newest. It reads every execution of the time shown.",
            SECONDS,
            Sql(
                f"""
                SELECT e.id, e.accepted_at, s.code AS state, e.queue, e.task, e.task_id, e.attempt_count, e.wait_s, e.run_s,
                  e.error, e.error_message, e.reason
                FROM {EXECUTIONS}
                WHERE {CHOSEN} AND position({SEARCHED} IN lower(concat_ws(' ', e.id, e.task_id, e.external_id, e.task,
                  e.trace_id, e.error, e.error_message, e.reason, e.args, e.kwargs, e.result))) > 0
                ORDER BY e.id DESC
                LIMIT {LIMIT}
                """
            ),
            columns=SHARED,
            height=9,
        ),
        rows(
            "What happened in the attempts?",
            "Of the execution whose id is in the search; with another text in it, the newest attempts whose error, traceback "
            "or end of log holds that in any case; without one, the newest.",
            SECONDS,
            Sql(
                f"""
                SELECT a.started_at, a.ended_at, a.execution_id, a.outcome, a.worker, a.wait_s, a.run_s, a.peak_bytes, a.error,
                  a.message, a.traceback, a.log
                FROM windrow.attempts a
                WHERE a.execution_id = {AS_ID} OR {AS_ID} IS NULL AND {accepted_in_time("a.execution_id")}
                  AND a.queue = ANY (ARRAY[${{queue:sqlstring}}]::text[])
                  AND position({SEARCHED} IN lower(concat_ws(' ', a.error, a.message, a.traceback, a.log))) > 0
                ORDER BY a.started_at DESC NULLS LAST, a.id DESC
                LIMIT {LIMIT}
                """
            ),
            columns=SHARED
            | {
                "ended_at": Column(title="Ended", width=170),
                "execution_id": ID,
                "outcome": Column(title="Outcome", width=110),
                "peak_bytes": Column(title="Peak memory", unit=BYTES, width=110),
                "message": Column(title="Text"),
                "traceback": Column(title="Traceback"),
                "log": Column(title="Log"),
            },
            height=7,
        ),
    ]


def _failures() -> Panels:
    return [
        rows(
            "What failed most recently?",
            "Executions that ended as failed, timed_out, lost or rejected, the last to end first.",
            SECONDS,
            Sql(
                f"""
                SELECT e.finished_at, e.id, s.code AS state, e.queue, e.task, e.attempt_count, e.run_s, e.error,
                  e.error_message, e.reason
                FROM {EXECUTIONS}
                WHERE {CHOSEN} AND s.code IN {FAILED}
                ORDER BY e.finished_at DESC NULLS LAST
                LIMIT {LIMIT}
                """
            ),
            columns=SHARED,
            height=9,
        ),
        rows(
            "Which errors came most often?",
            "Attempts that ended with an error, retried ones too, by task and the exception's class; with the last text.",
            of("attempts"),
            Sql(
                f"""
                SELECT a.queue, a.task, a.error, count(*) AS attempts, count(DISTINCT a.execution_id) AS executions,
                  max(a.ended_at) AS last, (array_agg(left(a.message, 500) ORDER BY a.ended_at DESC NULLS LAST))[1] AS message
                FROM windrow.attempts a
                WHERE {accepted_in_time("a.execution_id")} AND a.queue = ANY (ARRAY[${{queue:sqlstring}}]::text[])
                  AND a.error IS NOT NULL
                GROUP BY a.queue, a.task, a.error
                ORDER BY attempts DESC
                LIMIT {LIMIT}
                """
            ),
            columns=SHARED
            | {
                "attempts": Column(title="Attempts", width=130),
                "executions": Column(title="Executions", unit=of("executions"), width=130),
                "last": Column(title="Last", width=170),
                "message": Column(title="Text of the last"),
            },
        ),
    ]


def _slow() -> Panels:
    return [
        rows(
            "What ran longest?",
            "By the running time of the last attempt that ended.",
            SECONDS,
            Sql(_slowest("e.run_s")),
            columns=SHARED,
            width=12,
        ),
        rows(
            "What waited longest?",
            "By the time that the first attempt waited, ready, before it started.",
            SECONDS,
            Sql(_slowest("e.wait_s")),
            columns=SHARED,
            width=12,
        ),
        rows(
            "What is still running, and for how long?",
            "Executions whose first attempt has started and that have no end yet, the oldest first.",
            SECONDS,
            Sql(
                f"""
                SELECT extract(epoch FROM now() - e.started_at)::float AS age, e.id, s.code AS state, e.queue, e.task, e.worker,
                  e.attempt_count, e.progress
                FROM {EXECUTIONS}
                WHERE {CHOSEN} AND s.code IN ('running', 'retrying') AND e.started_at IS NOT NULL
                ORDER BY e.started_at
                LIMIT {LIMIT}
                """
            ),
            columns=SHARED | {"age": Column(title="Since its start", unit=SECONDS), "progress": Column(title="Progress")},
        ),
    ]


def _counts() -> Panels:
    return [
        lines(
            "How did executions end?",
            "Executions that reached a final state, by state, in each step of the chart.",
            of("executions"),
            Sql(
                f"""
                SELECT {moment("e.finished_at")}, s.code AS metric, count(*) AS executions
                FROM {EXECUTIONS}
                WHERE {CHOSEN} AND $__timeFilter(e.finished_at)
                GROUP BY 1, 2
                ORDER BY 1, 2
                """
            ),
            stacked=True,
            bars=True,
        ),
        rows(
            "In which state are the executions?",
            "All that were accepted in the time shown, by queue and state.",
            of("executions"),
            Sql(
                f"""
                SELECT e.queue, s.code AS state, count(*) AS executions
                FROM {EXECUTIONS}
                WHERE {CHOSEN}
                GROUP BY 1, 2
                ORDER BY 1, 2
                """
            ),
            width=12,
            columns={
                "queue": Column(title="Queue"),
                "state": Column(title="State"),
                "executions": Column(title="Executions"),
            },
        ),
    ]


def _slowest(column: str) -> str:
    return f"""
        SELECT e.id, s.code AS state, e.queue, e.task, e.wait_s, e.run_s, e.finished_at
        FROM {EXECUTIONS}
        WHERE {CHOSEN} AND {column} IS NOT NULL
        ORDER BY {column} DESC
        LIMIT {LIMIT}
    """
