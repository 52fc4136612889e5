"""`python -m benchmarks.readme`: puts the figures of `build/bench.json` into the README's table."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.stack import ROOT

START, END = "<!-- figures -->", "<!-- figures end -->"


def figure(value: float) -> str:
    """Three significant digits, thousands set off."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(document: dict[str, Any]) -> str:
    """The README's table; rows that were not measured are left out."""
    rows = {row["key"]: row for row in document["rows"]}
    lines = ["| | bare Celery | Windrow |", "|---|---|---|"]

    def add(text: str, key: str, side_name: str | None = None) -> None:
        row = rows.get(key)
        if row is None:
            return
        if side_name is not None:
            bare, windrow = (row["sides"][side][side_name]["median"] for side in ("bare", "windrow"))
        else:
            bare, windrow = row.get("bare", {}).get("median"), row["windrow"]["median"]
        lines.append(f"| {text} | {'' if bare is None else figure(bare)} | {figure(windrow)} |")

    add("no-op tasks a second, 2 slots", "noop_prefork2")
    add("CPU seconds for 1,000 of them, whole worker tree", "noop_prefork2", "cpu_per_1000")
    add("Redis round trips a task", "noop_prefork2", "round_trips")
    add("no-op tasks a second, 2 threads", "noop_threads2")
    add("no-op coroutines a second, 2 at a time; bare Celery: 2 threads", "noop_asyncio2")
    add("the reference's database task, a second", "db_prefork2")
    add("the same as `async def`, 20 at a time; bare Celery: 2 slots", "db_asyncio20")
    add("tasks that wait 50 ms, 100 at a time; bare Celery: 2 slots", "wait50_asyncio100")
    add("`delay()` calls a second", "publish")
    add("`windrow up` from nothing to the first finished task, in seconds", "start_s")
    add("CPU of the whole platform at rest, four workers, in % of a core", "idle_core_pct")
    lines += ["", f"{document['date'][:10]}, {document['machine']}, Python {document['python']}."]
    return "\n".join(lines)


def main() -> None:
    """Replace what stands between the README's two marks."""
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/bench.json"
    readme = ROOT / "README.md"
    head, _, rest = readme.read_text().partition(START)
    _, _, tail = rest.partition(END)
    readme.write_text(f"{head}{START}\n{table(json.loads(source.read_text()))}\n{END}{tail}")


if __name__ == "__main__":
    main()
