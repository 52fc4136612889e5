"""What a scrape may be: how many series, and how long it may take. Pure: figures in, verdicts and the page's tables out."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.metrics.scraping import spread
from benchmarks.report import Check

WORKER_SERIES, WORKER_SECONDS = 2_000, 0.05
SERVER_SERIES, SERVER_SECONDS = 100_000, 3.0
ANSWER_SECONDS = 1.0
"""What other requests may take while the server makes its largest page: as long as a probe waits by default."""


def checks(document: Mapping[str, Any]) -> list[Check]:
    """What the figures that are there must reach."""
    found = []
    for one in document.get("worker", {}).get("pools", ()):
        pool, scrapes = one["pool"], one["scrapes"]
        found.append(Check(f"{pool} worker: series", scrapes["series"], WORKER_SERIES, at_least=False))
        seconds = statistics.median(scrapes["seconds"])
        found.append(Check(f"{pool} worker: seconds a scrape, median", seconds, WORKER_SECONDS, at_least=False))
    if server := document.get("server"):
        found.append(Check("server: series", server["scrapes"]["series"], SERVER_SERIES, at_least=False))
        found.append(Check("server: seconds a scrape, most", max(server["scrapes"]["seconds"]), SERVER_SECONDS, at_least=False))
        slowest = max(of["p99"] for of in server["during"].values())
        found.append(Check("server: seconds of other answers meanwhile, p99", slowest, ANSWER_SECONDS, at_least=False))
    return found


def markdown(document: Mapping[str, Any]) -> str:
    """Every table that the figures make, each with the run that it comes from."""
    parts = []
    if worker := document.get("worker"):
        parts += [_workers(worker["pools"]), _where(worker["run"])]
    if server := document.get("server"):
        parts += [_server(server), _where(server["run"])]
    if cost := document.get("cost"):
        parts += [_cost(cost["variants"]), f"{cost['tasks']:,} tasks a turn, {_turns(cost)} turns. {_where(cost['run'])}"]
    return "\n\n".join(parts)


def _workers(pools: list[dict[str, Any]]) -> str:
    lines = ["| a worker's pool | tasks | errors | series | page | scrape, median | p99 |", "|---|--:|--:|--:|--:|--:|--:|"]
    for one in pools:
        scrapes, seconds = one["scrapes"], spread(one["scrapes"]["seconds"])
        lines.append(
            f"| {one['pool']} | {one['tasks']} | {one['errors']} | {scrapes['series']:,} | {scrapes['kilobytes']:.0f} KB | "
            f"{_ms(seconds.median)} | {_ms(seconds.p99)} |"
        )
    return "\n".join(lines)


def _server(server: Mapping[str, Any]) -> str:
    scrapes, seconds = server["scrapes"], spread(server["scrapes"]["seconds"])
    head = (
        f"A server with {server['queues']} queues of {server['tasks']} tasks: {scrapes['series']:,} series, "
        f"{scrapes['kilobytes'] / 1000:.1f} MB, scraped in {seconds.median:.2f} s (median), {seconds.most:.2f} s (most)."
    )
    lines = ["| meanwhile | answers | median | p99 | without a scrape: median | p99 |", "|---|--:|--:|--:|--:|--:|"]
    for path, of in server["during"].items():
        other = server["between"][path]
        cells = [f"`{path}`", str(of["count"]), *(_ms(value) for value in (of["median"], of["p99"]))]
        lines.append(f"| {' | '.join([*cells, _ms(other['median']), _ms(other['p99'])])} |")
    return "\n".join([head, "", *lines])


def _cost(variants: list[dict[str, Any]]) -> str:
    names = list(variants[0]["parts"])
    lines = [
        f"| CPU seconds of 1,000 no-op tasks | {' | '.join(names)} | all (spread) | more than nothing |",
        f"|---|{'--:|' * (len(names) + 2)}",
    ]
    least = variants[0]["whole"]["median"]
    for one in variants:
        cells = " | ".join(f"{one['parts'][name]['median']:.3f}" for name in names)
        whole = one["whole"]
        said = f"{whole['median']:.3f} ({whole['least']:.3f}–{whole['most']:.3f})"
        lines.append(f"| {one['variant']['name']} | {cells} | {said} | {whole['median'] - least:+.3f} |")
    together = variants[-1]["whole"]["median"] - least
    lines += [
        "",
        f"Metrics, logs and records together: {together:.2f} CPU seconds per 1,000 tasks more than nothing (medians).",
    ]
    return "\n".join(lines)


def _turns(cost: Mapping[str, Any]) -> int:
    return int(cost["variants"][0]["whole"]["turns"])


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _where(run: Mapping[str, str]) -> str:
    return (
        f"`{run['command']}`; {run['date'][:10]}, {run['machine']}, Python {run['python']}, "
        f"load average {run['load']} when it began."
    )
