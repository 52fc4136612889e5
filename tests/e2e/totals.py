"""What the leading server exports as exact totals, beside what the records hold."""

from __future__ import annotations

from typing import Any

from tests.e2e.stage import Stage, Wrong

FINISHED = """
select e.queue, e.task, s.code, count(*) from windrow.executions e
join windrow.execution_statuses s on s.id = e.status_id where e.finished_at is not null group by 1, 2, 3
"""
WITHIN_S = 20.0
Counts = dict[tuple[str, str, str], int]


def totals_agree(stage: Stage) -> int:
    """How many finished executions both count, by queue, task and state; raises Wrong when they don't agree soon."""
    seen: dict[str, Any] = {}

    def agree() -> bool:
        counted = {(row[0], row[1], row[2]): int(row[3]) for row in stage.sql(FINISHED)}
        seen["differ"] = difference(counted, told(stage.server_says("/api/totals")))
        seen["count"] = sum(counted.values())
        return not seen["differ"]

    try:
        stage.wait(agree, WITHIN_S, "the exact totals equal the records", pause=1)
    except Wrong as late:
        raise Wrong(f"{late}; records and totals: {seen.get('differ')}") from None
    return int(seen["count"])


def told(rows: list[dict[str, Any]]) -> Counts:
    """The finished executions among the totals that a server answers with."""
    return {
        (row["queue"], row["task"], row["label"]): int(row["value"])
        for row in rows
        if row["kind"] == "finished" and row["value"]
    }


def difference(counted: Counts, exported: Counts) -> dict[tuple[str, str, str], tuple[int, int]]:
    """What is not the same: on record, and in the totals."""
    keys = counted.keys() | exported.keys()
    return {
        key: (counted.get(key, 0), exported.get(key, 0)) for key in sorted(keys) if counted.get(key, 0) != exported.get(key, 0)
    }
