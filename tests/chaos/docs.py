"""`python -m tests.chaos.docs`: puts the rows, and what `build/chaos*.json` hold, into docs/chaos.md.

Each block stands between two marks, `<!-- name -->` and `<!-- name end -->`; where a file is missing, its block stays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deploy.marked import put
from tests.chaos.processes import ROOT
from tests.chaos.report import COLUMNS
from tests.chaos.row import ALWAYS, Row
from tests.chaos.rows import ROWS

PAGE = ROOT / "docs/chaos.md"


def promises(rows: Iterable[Row] = ROWS.values()) -> str:
    """A line for each row: the fault, what may be more than 0, what it rests on."""
    lines = [("row", "fault", "at most, where it isn't 0", "rests on"), ("---",) * 4]
    for row in rows:
        bounds = ", ".join(_bound(name, limit) for name, limit in row.limits.items() if limit != 0)
        lines.append((f"`{row.name}`", row.fault, bounds, row.rests_on))
    each = "Slots are meant for each blow; an acknowledgement is unsent when its body ended less than 20 ms before the blow."
    return "\n".join([*map(_line, lines), "", each])


def outcome(document: dict[str, Any]) -> str:
    """The table of a run."""
    lines = [("fault", "blows", *(name.replace("_", " ") for name in COLUMNS), ""), ("---", *("--:",) * 9, "---")]
    for row in document["rows"]:
        figures = (f"{row[name]:,.1f}" if name == "recover_s" else f"{row[name]:,}" for name in COLUMNS)
        lines.append((row["fault"], str(row["blows"]), *figures, _said(row)))
    return "\n".join([*map(_line, lines), "", _where(document), *_misses(document)])


def _said(row: dict[str, Any]) -> str:
    """`met`, or the figures that miss."""
    missed = [why.split(" ", 1)[0] for why in row["why"] if " must be at most " in why]
    return "met" if row["met"] else f"**MISS** {', '.join(missed)}".rstrip()


def _misses(document: dict[str, Any]) -> list[str]:
    if document["system"] != "windrow":
        return []
    found = [(row["name"], why) for row in document["rows"] for why in row["why"] if "its logs are in" not in why]
    return ["", *(f"- `{name}`: {why}." for name, why in found)] if found else []


def _where(document: dict[str, Any]) -> str:
    """Where the rows come from: a line for each run, with its rows when there are several."""
    runs: dict[str, list[str]] = {}
    for row in document["rows"]:
        runs.setdefault(_run(row["run"]), []).append(f"`{row['name']}`")
    told = list(runs) if len(runs) == 1 else [f"{', '.join(names)}: {run}" for run, names in runs.items()]
    kills = f"{document['kills']} processes or trees of them were killed with SIGKILL."
    if document["system"] == "windrow":
        kills += f" Figures of which two accounts were apart: {sum(row['apart'] for row in document['rows'])}."
    return "  \n".join([*told, kills])


def _run(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in run["versions"].items())
    return f"`{run['command']}`, seed {run['seed']}; {run['date'][:10]}, {run['machine']}, Python {run['python']}; {versions}."


def _bound(name: str, limit: Any) -> str:
    if callable(limit):
        said = limit.__doc__.splitlines()[0].rstrip(".")
        return f"{name}: {said[0].lower()}{said[1:]}"
    return f"{name}: {'counted' if math.isinf(limit) else f'{limit:g}'}"


def _line(of: tuple[str, ...]) -> str:
    return f"| {' | '.join(of)} |"


def render(page: str, build: Path) -> str:
    """The page, with all that is known put in."""
    page = put(page, "promises", f"{promises()}\n\nIn every row, unless it says otherwise, 0: {', '.join(ALWAYS)}.")
    blocks: tuple[tuple[str, str, Callable[[dict[str, Any]], str]], ...] = (
        ("windrow", "chaos.json", outcome),
        ("celery", "chaos-celery.json", outcome),
    )
    for name, file, show in blocks:
        if (build / file).exists():
            page = put(page, name, show(json.loads((build / file).read_text(encoding="utf-8"))))
    return page


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), ROOT / "build"), encoding="utf-8")


if __name__ == "__main__":
    main()
