"""The peers' table. Pure: the document of `build/peers.json` in, text out."""

from __future__ import annotations

from typing import Any

HEAD = (
    "peer",
    "no-op tasks/s",
    "CPU s per 1,000",
    "round trips a task",
    "tasks/s that wait 50 ms",
    "lost on kill -9",
    "ran twice",
    "slowest recovery, s",
)


def figure(value: float) -> str:
    """Three significant digits, thousands set off."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(summary: dict[str, float] | None) -> str:
    """Median (least to most)."""
    if summary is None:
        return "–"
    return f"{figure(summary['median'])} ({figure(summary['least'])}–{figure(summary['most'])})"


def cells(peer: dict[str, Any]) -> tuple[str, ...]:
    """One peer's line; a dash where nothing was measured, or where there is no Redis to count at."""
    noop, wait50, kill = (peer.get(kind) or {} for kind in ("noop", "wait50", "kill"))
    return (
        f"{peer['name']} {peer['version']}",
        spread(noop.get("tasks_per_s")),
        spread(noop.get("cpu_per_1000")),
        spread(noop.get("round_trips")) if peer["on_redis"] else "–",
        spread(wait50.get("tasks_per_s")),
        f"{kill['lost']} of {kill['tasks']:,}" if kill else "–",
        str(kill["twice"]) if kill else "–",
        figure(kill["seconds"]) if kill else "–",
    )


def text(document: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [HEAD, *(cells(peer) for peer in document["peers"])]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)
