"""Recording rules: sums that survive a change of leader, and how fast each queue's budgets are spent.

Exact totals are read through `max` over servers before they are summed: when two servers speak at once for a moment, their
figures are of one database and the higher is the later. So the sums never fall, and `rate` never sees a reset that was none.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploy.monitoring.windows import BUDGET, BURN, Windows

QUEUE = "installation, queue"
"""What everything about a queue is grouped by. `installation` is there when one Prometheus watches several."""

ENDED_WELL = "success"
ENDED_BADLY = "failed|timed_out|lost|expired"
"""Final states that spend the success budget; `cancelled` and `rejected` are the caller's doing and count neither way."""


@dataclass(frozen=True)
class Recorded:
    """One recording rule."""

    name: str
    expr: str


def total(metric: str, labels: str, matcher: str = "") -> str:
    """The sum of an exact total by queue; `labels`: the metric's own beside `queue`."""
    series = f"{metric}{{{matcher}}}" if matcher else metric
    return f"sum by ({QUEUE}) (max by ({QUEUE}, {labels}) ({series}))"


def one(metric: str, matcher: str = "") -> str:
    """A figure of the leader about a queue, whoever leads."""
    return f"max by ({QUEUE}) ({metric}{{{matcher}}})" if matcher else f"max by ({QUEUE}) ({metric})"


def recorded(windows: Windows) -> tuple[Recorded, ...]:
    """All recording rules, in the order in which they rest on one another."""
    finished, attempts = "windrow_executions_finished_total", "windrow_attempts_total"
    rules = [
        Recorded("windrow:ended_bad:sum", total(finished, "task, state", f'state=~"{ENDED_BADLY}"')),
        Recorded("windrow:ended:sum", total(finished, "task, state", f'state=~"{ENDED_WELL}|{ENDED_BADLY}"')),
        Recorded("windrow:lost:sum", total(finished, "task, state", 'state="lost"')),
        Recorded("windrow:starts_late:sum", total("windrow_starts_total", "result", 'result="late"')),
        Recorded("windrow:starts:sum", total("windrow_starts_total", "result")),
        Recorded("windrow:attempts:sum", total(attempts, "task")),
        Recorded("windrow:retries:sum", total("windrow_retries_total", "task")),
    ]
    for objective, bad, every in (
        ("success", "windrow:ended_bad:sum", "windrow:ended:sum"),
        ("start", "windrow:starts_late:sum", "windrow:starts:sum"),
    ):
        matcher = f'objective="{objective}"'
        budget = f"(1 - {one('windrow_objective_target', matcher)})"
        for window in BURN:
            errors = f"windrow:{objective}_errors:ratio_rate{window}"
            w = windows(window)
            rules.append(Recorded(errors, f"rate({bad}[{w}]) / (rate({every}[{w}]) > 0)"))
            rules.append(Recorded(f"windrow:{objective}_burn:rate{window}", f"{errors} / on ({QUEUE}) {budget}"))
        rules.append(Recorded(f"windrow:{objective}_budget_left:ratio", f"1 - windrow:{objective}_burn:rate{BUDGET}"))
    return tuple(rules)
