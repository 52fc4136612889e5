"""What a row says: its figures, what each must be, and whether it is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.report import Check


@dataclass(frozen=True)
class Row:
    """One line: `figure` is what was measured, in words."""

    key: str
    figure: str
    checks: tuple[Check, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    """What the reader must know to read the figure, such as that it was a short run."""

    @property
    def met(self) -> bool:
        """Whether all of its checks are met."""
        return all(check.met for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The row for `build/bench-operator.json`."""
        checks = [{**asdict(check), "met": check.met} for check in self.checks]
        told = {"key": self.key, "figure": self.figure, "note": self.note, "met": self.met, "checks": checks}
        return {**told, "extra": dict(self.extra)}


def most(what: str, value: float, target: float) -> Check:
    """`value` must be at most `target`."""
    return Check(what, value, target, at_least=False)


def least(what: str, value: float, target: float) -> Check:
    """`value` must be at least `target`."""
    return Check(what, value, target, at_least=True)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as JSON has them, as text: one check a line."""
    lines = [("row", "measured", "must be", "")]
    notes = {}
    for row in rows:
        for number, check in enumerate(row["checks"]):
            lines.append((row["key"] if number == 0 else "", *cells(check)))
        if row["note"]:
            notes[len(lines) - 1] = row["note"]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    text = []
    for number, line in enumerate(lines):
        text.append("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        if number in notes:
            text.append(" " * (widths[0] + 2) + notes[number])
    return "\n".join([text[0], "─" * (sum(widths) + 6), *text[1:]])


def markdown(document: Mapping[str, Any]) -> str:
    """The table of the docs."""
    lines = ["| row | what | measured | must be | |", "|---|---|---|---|---|"]
    for row in document["rows"]:
        for number, check in enumerate(row["checks"]):
            first, what = (f"`{row['key']}`", row["figure"]) if number == 0 else ("", "")
            lines.append(f"| {first} | {what} | {' | '.join(cells(check))} |")
    runs: dict[tuple[str, ...], list[str]] = {}
    for row in document["rows"]:
        run = row["run"]
        where = (run["date"][:10], run["machine"], run["kubernetes"], run["commit"], "--quick" if run["quick"] else "")
        runs.setdefault(where, []).append(f"`{row['key']}`")
    told = [
        f"{', '.join(keys)}: {date}, {machine}, Kubernetes {kubernetes}, commit {commit}{', A SHORT RUN' if quick else ''}.  "
        for (date, machine, kubernetes, commit, quick), keys in runs.items()
    ]
    notes = [f"- `{row['key']}`: {row['note']}." for row in document["rows"] if row["note"]]
    return "\n".join([*lines, "", *notes, "", *told])


def cells(check: Mapping[str, Any]) -> tuple[str, str, str]:
    """What was measured, what it must be, and the verdict."""
    sign = "≥" if check["at_least"] else "≤"
    return (
        f"{figure(check['value'])} {check['what']}",
        f"{sign} {figure(check['target'])}",
        "met" if check["met"] else "**MISS**",
    )


def figure(value: float) -> str:
    """Three digits that count, whole numbers whole."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
