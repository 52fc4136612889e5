"""The outcome of a run as a table and as `build/chaos.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

COLUMNS = ("accepted", "missing", "finished_twice", "overlapping", "repeated", "interrupted", "refused", "recover_s")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text, a line for each, and one below for each miss."""
    head = ("fault", "blows", *(name.replace("_", " ") for name in COLUMNS), "s", "")
    lines = [head]
    for row in rows:
        figures = (f"{row[name]:g}" if name != "recover_s" else f"{row[name]:.2f}" for name in COLUMNS)
        lines.append((row["fault"], str(row["blows"]), *figures, f"{row['seconds']:.0f}", "met" if row["met"] else "MISS"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = []
    for number, line in enumerate(lines):
        cells = (
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        text.append("  ".join(cells))
        if number == 0:
            text.append("─" * len(text[0]))
        else:
            text += [f"    {sentence}" for sentence in rows[number - 1]["why"]]
    return "\n".join(text)
