"""What each row must reach, and how the rows are shown. Pure: figures in, verdicts and text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.measure import Summary, Turn, summarise


@dataclass(frozen=True)
class Check:
    """One thing a row must reach: `value` on the good side of `target`."""

    what: str
    value: float
    target: float
    at_least: bool

    @property
    def met(self) -> bool:
        """Whether the value reaches the target."""
        return self.value >= self.target if self.at_least else self.value <= self.target

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{'ok' if self.met else 'MISS'}  {self.what} {self.value:.3g} {sign} {self.target:.3g}"


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured on each side, and what it must reach."""

    key: str
    unit: str
    windrow: Summary
    checks: tuple[Check, ...]
    bare: Summary | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether all of its checks are met."""
        return all(check.met for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The row for `build/bench.json`."""
        checks = [{**asdict(check), "met": check.met} for check in self.checks]
        found = {"key": self.key, "unit": self.unit, "met": self.met, "windrow": asdict(self.windrow), "checks": checks}
        if self.bare:
            found |= {"bare": asdict(self.bare), "ratio": self.windrow.median / self.bare.median}
        return found | dict(self.extra)


@dataclass(frozen=True)
class Goal:
    """What a row of tasks a second must reach: `ratio` times bare Celery's."""

    ratio: float
    stretch: tuple[float, ...] = ()
    """What would be better still, in the order of the row's checks."""
    cpu: float | None = None
    """CPU of the worker's whole tree for a task, as a part of bare Celery's at most."""
    trips: float | None = None
    """Round trips a task at most."""


def throughput_row(key: str, turns: Mapping[str, Sequence[Turn]], goal: Goal) -> Row:
    """A row of tasks a second."""
    sides = {
        side: {name: summarise([getattr(turn, name) for turn in of]) for name in Turn.__dataclass_fields__}
        for side, of in turns.items()
    }
    bare, windrow = sides["bare"], sides["windrow"]
    checks = [Check("× bare", windrow["tasks_per_s"].median / bare["tasks_per_s"].median, goal.ratio, at_least=True)]
    if goal.cpu is not None:
        cpu = windrow["cpu_per_1000"].median / bare["cpu_per_1000"].median
        checks.append(Check("× bare CPU", cpu, goal.cpu, at_least=False))
    if goal.trips is not None:
        checks.append(Check("round trips/task", windrow["round_trips"].median, goal.trips, at_least=False))
    extra: dict[str, Any] = {
        "sides": {side: {name: asdict(summary) for name, summary in of.items()} for side, of in sides.items()}
    }
    if goal.stretch:
        extra["stretch"] = list(goal.stretch)
    return Row(key, "tasks/s", windrow["tasks_per_s"], tuple(checks), bare["tasks_per_s"], extra)


def table(rows: Sequence[Row]) -> str:
    """The rows as text: medians, spread in brackets, one check a line."""
    header = ("row", "unit", "bare Celery", "Windrow", "CPU s/1,000", "round trips", "platform CPU", "must reach")
    lines = [header]
    for row in rows:
        cells = (row.key, row.unit, _summary(row.bare), _summary(row.windrow), *_costs(row), str(row.checks[0]))
        lines.append(cells)
        lines += [("",) * (len(header) - 1) + (str(check),) for check in row.checks[1:]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([text[0], "─" * len(text[0]), *text[1:]])


def _summary(summary: Summary | None) -> str:
    if summary is None:
        return "–"
    return f"{_figure(summary.median)} ({_figure(summary.least)}–{_figure(summary.most)})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _costs(row: Row) -> tuple[str, str, str]:
    sides = row.extra.get("sides")
    if not sides:
        return ("", "", "")
    return tuple(
        f"{sides['bare'][name]['median']:.2f} → {sides['windrow'][name]['median']:.2f}"
        for name in ("cpu_per_1000", "round_trips", "platform_cpu_per_1000")
    )  # type: ignore[return-value]
