"""`python -m tests.drill.docs`: puts the causes, and what `build/drill.json` holds, into docs/drill.md.

Each block stands between two marks, `<!-- name -->` and `<!-- name end -->`; where the file is missing, its block stays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deploy.marked import put
from tests.chaos.processes import ROOT
from tests.drill.cause import Cause
from tests.drill.judge import names
from tests.drill.phases import PHASES

PAGE = ROOT / "docs/drill.md"
RESULT = ROOT / "build/drill.json"


def causes(phases: Mapping[str, Sequence[Cause]] = PHASES) -> str:
    """A line for each cause: its phase, what is done, what must be notified, what must be held back."""
    lines = [("cause", "phase", "what is done", "notified", "held back"), ("---",) * 5]
    for phase, of_it in phases.items():
        for cause in of_it:
            expected = cause.expected
            lines.append((f"`{cause.name}`", phase, cause.says, _alerts(names(expected.notified)), _held(cause)))
    return "\n".join(map(_line, lines))


def _held(cause: Cause) -> str:
    must, may = names(cause.expected.silent), names(cause.expected.allowed)
    return ", ".join([*([_alerts(must)] if must else []), *([f"{_alerts(may)} (may fire)"] if may else [])]) or "–"


def outcome(document: dict[str, Any]) -> str:
    """The table of a run."""
    lines = [("cause", "notified", "held back", "s to fire", "s to resolve", ""), ("---", "---", "---", "--:", "--:", "---")]
    for row in document["rows"]:
        times = (_seconds(row["fire_s"]), _seconds(row["resolve_s"]))
        verdict = "met" if row["met"] else "**MISS**"
        lines.append((f"`{row['cause']}`", _alerts(row["fired"]), _alerts(row["held_back"]), *times, verdict))
    wrong = [f"- `{row['cause']}`: {sentence}" for row in document["rows"] for sentence in row["why"]]
    wrong += [f"- {sentence}" for sentence in document["strangers"]]
    wrong += [f"- `{cause}` was **not tried**: {reason}" for cause, reason in document["not_tried"].items()]
    return "\n".join([*map(_line, lines), "", *_around(document), *(["", *wrong] if wrong else [])])


def _around(document: dict[str, Any]) -> list[str]:
    """The sentences about the run as a whole."""
    made = [
        f"{document['date']}, {document['machine']}, Prometheus {document['prometheus']}, Alertmanager "
        f"{document['alertmanager']}, factor {document['factor']:g}: {document['seconds'] / 60:.1f} minutes in all."
    ]
    if healthy := document.get("healthy"):
        fired = ", ".join(healthy["shown"] or healthy["fired"]) or "nothing"
        made.append(
            f"Before: {healthy['minutes']:g} minutes of healthy load, {healthy['executions']:,} executions, one queue "
            f"without any worker {healthy['scaled_to_zero']} times; {fired} fired."
        )
    if catalogue := document.get("catalogue"):
        same = (
            "as the catalogue says" if catalogue["met"] else "**not** as the catalogue says: " + "; ".join(catalogue["wrong"])
        )
        made.append(f"{catalogue['series']:,} series were scraped, names and labels {same}.")
    if queries := document.get("queries"):
        made.append(f"After: {queries['asked']} queries of dashboards, {queries['asked'] - len(queries['empty'])} with data.")
    return made


def _alerts(texts: Sequence[str]) -> str:
    return ", ".join(f"`{text.removeprefix('Windrow')}`" for text in texts) or "–"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"


def _line(of: tuple[str, ...]) -> str:
    return f"| {' | '.join(of)} |"


def render(page: str, document: dict[str, Any] | None) -> str:
    """The page, with all that is known put in."""
    page = put(page, "causes", causes())
    return page if document is None else put(page, "run", outcome(document))


def main() -> None:
    """Write the page."""
    document = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.exists() else None
    PAGE.write_text(render(PAGE.read_text(encoding="utf-8"), document), encoding="utf-8")


if __name__ == "__main__":
    main()
