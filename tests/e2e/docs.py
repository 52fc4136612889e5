"""`python -m tests.e2e.docs`: puts the rows, and what `build/e2e.json` holds, into docs/e2e.md.

Each block stands between two marks, `<!-- name -->` and `<!-- name end -->`; where the file is missing, its block stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from deploy.marked import put
from tests.e2e.row import Row
from tests.e2e.rows import ROWS
from tests.e2e.stage import ROOT

PAGE = ROOT / "docs/e2e.md"
RESULT = ROOT / "build/e2e.json"
FIGURES = ("accepted", "missing", "finished_twice", "repeated", "overlapping")
_OTHER = {"name", "ok", "seconds", "wrong", "pod", *FIGURES}


def promises(rows: Iterable[Row] = ROWS) -> str:
    """A line for each thing that is played: its rows, and what happens."""
    lines = [("rows", "what happens"), ("---",) * 2]
    lines += [(", ".join(f"`{name}`" for name in row.names), row.says) for row in rows]
    return "\n".join(map(_line, lines))


def outcome(document: dict[str, Any]) -> str:
    """The table of a run."""
    lines = [("row", *(name.replace("_", " ") for name in FIGURES), "s", "", "also")]
    lines.append(("---", *("--:",) * (len(FIGURES) + 1), "---", "---"))
    for row in document["rows"]:
        also = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row.items() if name not in _OTHER)
        figures = (f"{row[name]:,}" for name in FIGURES)
        lines.append((f"`{row['name']}`", *figures, f"{row['seconds']:.0f}", "met" if row["ok"] else "**MISS**", also))
    wrong = [f"- `{row['name']}`: {sentence}" for row in document["rows"] for sentence in row["wrong"]]
    enforced = document["network_policies_enforced"]
    minutes = document["seconds"] / 60
    where = [
        f"{document['date']}, {document['machine']}: {minutes:.1f} minutes in all, cluster and images included.",
        f"NetworkPolicies were {'enforced' if enforced else '**not enforced** by this cluster, and so not tried'}.",
    ]
    return "\n".join([*map(_line, lines), "", *where, *(["", *wrong] if wrong else [])])


def _line(of: tuple[str, ...]) -> str:
    return f"| {' | '.join(of)} |"


def render(page: str, document: dict[str, Any] | None) -> str:
    """The page, with all that is known put in."""
    page = put(page, "rows", promises())
    return page if document is None else put(page, "run", outcome(document))


def main() -> None:
    """Write the page."""
    document = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else None
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


if __name__ == "__main__":
    main()
