"""What the pages for the person on call repeat of the rules: `python -m deploy.monitoring.oncall` puts it into them.

Each runbook says after its title when its alert fires and what holds it back; docs/oncall.md has every alert and every
inhibition. What stands between two marks, `<!-- name -->` and `<!-- name end -->`, is written here; the rest by people.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deploy.marked import put
from deploy.monitoring.alerts import ALERTS, Alert
from deploy.monitoring.inhibition import INHIBITIONS, Inhibition
from deploy.monitoring.windows import Windows

ROOT: Final = Path(__file__).parents[2]
RUNBOOKS: Final = ROOT / "deploy/monitoring/runbooks"
PAGE: Final = ROOT / "docs/oncall.md"

MANY: Final = 12
"""An inhibition of so many alerts is told by those that it leaves out."""


def pages() -> Mapping[Path, str]:
    """Every page with what the rules say put in. Raises ValueError when a page lacks its marks, OSError when it is missing."""
    made = {}
    for alert in ALERTS:
        path = RUNBOOKS / f"{alert.name}.md"
        made[path] = put(path.read_text(encoding="utf-8"), "rule", rule(alert))
    text = PAGE.read_text(encoding="utf-8")
    made[PAGE] = put(put(text, "inhibition", inhibitions()), "alerts", alerts())
    return made


def rule(alert: Alert) -> str:
    """What a runbook says of its rule."""
    kind = "a page" if alert.severity == "critical" else "a ticket"
    each = "one for each queue" if alert.about_queue else "one for the installation"
    held = "at once when this holds" if alert.lasting == "0s" else f"when this has held for {alert.lasting}"
    sources = [f"[{one.source}]({one.source}.md)" for one in INHIBITIONS if alert.name in one.targets]
    back = f"\n\nHeld back while {' or '.join(sources)} fires." if sources else ""
    return f"`{alert.severity}`: {kind}, {each}. Fires {held}:\n\n```promql\n{alert.expr(Windows())}\n```{back}"


def alerts() -> str:
    """The table of all alerts."""
    lines = ["| alert and runbook | severity | about | says |", "|---|---|---|---|"]
    for alert in ALERTS:
        about = "a queue" if alert.about_queue else "the installation"
        link = f"[{alert.name}](../deploy/monitoring/runbooks/{alert.name}.md)"
        lines.append(f"| {link} | `{alert.severity}` | {about} | {_example(alert.summary)} {alert.description} |")
    return "\n".join(lines)


def inhibitions() -> str:
    """The table of what holds what back."""
    lines = ["| while this fires | these tell nobody | of | because |", "|---|---|---|---|"]
    for one in INHIBITIONS:
        of = "the same queue" if one.same_queue else "the same installation"
        lines.append(f"| {one.source} | {_targets(one)} | {of} | {one.why} |")
    return "\n".join(lines)


def _targets(one: Inhibition) -> str:
    if len(one.targets) < MANY:
        return ", ".join(one.targets)
    left = [alert.name for alert in ALERTS if alert.name not in one.targets and alert.name != one.source]
    return f"all others but {', '.join(left)}" if left else "all others"


def _example(summary: str) -> str:
    """A summary without the template's braces: the queue is called `mail`, the figure `…`."""
    parts = summary.replace("{{ $labels.queue }}", "`mail`").split("{{ $value")
    return "…".join([parts[0], *(part.split("}}", 1)[1] for part in parts[1:])])


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
