"""`python -m benchmarks.docs`: puts what `build/*.json` holds into its pages and into the README's table.

Each block stands between two marks, `<!-- name -->` and `<!-- name end -->`; where a file is missing, its block stays.
Nothing here knows a row by name: what a row must reach, and what would be better still, is in the row.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import readme
from benchmarks.metrics.limits import markdown as metrics
from benchmarks.operator.report import markdown as operator
from benchmarks.peers.records import RECORDS, Record
from benchmarks.peers.report import HEAD, cells, figure, spread
from benchmarks.stack import ROOT
from deploy.marked import put

PAGE = ROOT / "docs/performance.md"
OPERATOR_PAGE = ROOT / "docs/operator-bench.md"
METRICS_PAGE = ROOT / "docs/metrics-cost.md"


def bench(document: dict[str, Any]) -> str:
    """A line for each check of each row; what was measured stands in the row's first line."""
    head = ("row", "unit", "bare Celery", "Windrow", "measured", "must reach", "stretch", "")
    lines = [head, ("---",) * len(head)]
    for row in document["rows"]:
        stretch = _stretch(row)
        for number, check in enumerate(row["checks"]):
            sign = "≥" if check["at_least"] else "≤"
            first = (f"`{row['key']}`", row["unit"], spread(row.get("bare")), spread(row["windrow"]))
            lines.append(
                (
                    *(first if number == 0 else ("",) * len(first)),
                    f"{figure(check['value'])} {check['what']}",
                    f"{sign} {figure(check['target'])}",
                    stretch[number] if number < len(stretch) else "",
                    "met" if check["met"] else "**MISS**",
                )
            )
    return "\n".join([*map(_line, lines), "", "Medians, spread in brackets.", *_runs(document)])


def misses(document: dict[str, Any]) -> str:
    """What the rows miss, in one line each."""
    found = [
        f"- `{row['key']}`: {figure(check['value'])} {check['what']}, {figure(check['target'])} was asked."
        for row in document["rows"]
        for check in row["checks"]
        if not check["met"]
    ]
    return "\n".join(found) or f"None in the run of {document['date'][:10]}."


def peers(document: dict[str, Any]) -> str:
    """The peers' figures, then what each was given, what it keeps and what its documentation says of a killed worker."""
    lines = [HEAD, ("---",) * len(HEAD), *(cells(peer) for peer in document["peers"])]
    told: list[tuple[str, ...]] = [("peer", "settings", "kept on record", "after kill -9"), ("---",) * 4]
    for peer in document["peers"]:
        ways = "<br>".join(f"{kind}: {settings}" for kind, settings in peer["settings"].items())
        told.append((peer["name"], ways, peer["kept"], peer["killed"]))
    by_run: dict[str, list[str]] = {}
    for kind, run in document["runs"].items():
        by_run.setdefault(_where(run, ""), []).append(kind)
    where = [f"{', '.join(kinds)}: {run}" for run, kinds in by_run.items()]
    measured = [*map(_line, lines), "", "Medians, spread in brackets.", *where]
    return "\n".join([*measured, "", *map(_line, told), "", *map(_line, _on_record(document))])


def _on_record(document: dict[str, Any]) -> list[tuple[str, ...]]:
    """What the measured peers keep of a task, a column for each state; a variant of another peer has no line."""
    names = tuple(Record.__dataclass_fields__)
    known = [(peer["name"], RECORDS[peer["name"]]) for peer in document["peers"] if peer["name"] in RECORDS]
    return [
        ("peer", *(name.replace("_", " ") for name in names)),
        ("---",) * (len(names) + 1),
        *((of, *(getattr(record, name) for name in names)) for of, record in known),
    ]


def _runs(document: dict[str, Any]) -> list[str]:
    """Where the rows come from: a line for each run, with its rows when there are several."""
    by_run: dict[str, list[str]] = {}
    for row in document["rows"]:
        run = row.get("run", document)
        by_run.setdefault(_where(run, f"{run['rounds']} rounds"), []).append(f"`{row['key']}`")
    if len(by_run) == 1:
        return list(by_run)
    return [f"{', '.join(keys)}: {run}  " for run, keys in by_run.items()]


def profile(document: dict[str, Any]) -> str:
    """CPU of one no-op task by stage, each process of each side in a column."""
    columns = document["columns"]
    stages = sorted({stage for column in columns for stage in column["stages"]}, key=document["stages"].index)
    lines = [("µs of CPU a task", *(column["name"] for column in columns)), ("---",) * (len(columns) + 1)]
    lines += [(stage, *(_micro(column["us"] * column["stages"].get(stage, 0.0)) for column in columns)) for stage in stages]
    lines.append(("**all**", *(f"**{column['us']:,.0f}**" for column in columns)))
    return "\n".join([*map(_line, lines), "", _where(document, f"{document['tasks']:,} no-op tasks on two slots")])


def _stretch(row: dict[str, Any]) -> list[str]:
    """For each check; one figure is the first check's."""
    found = row.get("stretch")
    if found is None:
        return []
    return [
        figure(each) if isinstance(each, int | float) else str(each) for each in (found if isinstance(found, list) else [found])
    ]


def _micro(value: float) -> str:
    return f"{value:,.0f}" if value >= 0.5 else "–"


def _line(of: tuple[str, ...]) -> str:
    return f"| {' | '.join(of)} |"


def _where(document: dict[str, Any], what: str) -> str:
    figures = f", {what}" if what else ""
    return f"`{document['command']}`{figures}; {document['date'][:10]}, {document['machine']}, Python {document['python']}."


BLOCKS: dict[str, tuple[Path, str, Callable[[dict[str, Any]], str]]] = {
    "bench": (PAGE, "bench.json", bench),
    "misses": (PAGE, "bench.json", misses),
    "peers": (PAGE, "peers.json", peers),
    "profile": (PAGE, "profile.json", profile),
    "metrics": (METRICS_PAGE, "metrics.json", metrics),
    "bench-operator": (OPERATOR_PAGE, "bench-operator.json", operator),
}
"""Each block: its page, the file in `build/` that it shows, and how."""


def main() -> None:
    """Render what is there."""
    for name, (page, file, render) in BLOCKS.items():
        source = ROOT / "build" / file
        if source.exists():
            page.write_text(put(page.read_text(), name, render(json.loads(source.read_text()))))
    bench_file: Path = ROOT / "build/bench.json"
    if bench_file.exists():
        readme.main()


if __name__ == "__main__":
    main()
