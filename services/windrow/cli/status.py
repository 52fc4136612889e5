"""`windrow status`."""

from __future__ import annotations

import dataclasses
import shutil
import time
from datetime import datetime

import click

from windrow.cli import printing
from windrow.cli.cluster import ClusterTarget, also_on_a_cluster
from windrow.cli.target import Target, about_a_platform


@click.command()
@also_on_a_cluster
@about_a_platform
def status(target: Target, cluster: ClusterTarget | None, as_json: bool) -> None:
    """What each queue holds, who works on it, and why there are so many workers."""
    if cluster is not None:
        _of_a_cluster(cluster, as_json)
        return
    from windrow.local.platform import server_url
    from windrow.local.records import RecordsPoll
    from windrow.local.status import look
    from windrow.local.view import Header, frame, without_codes

    url = server_url(target.state_dir) if target.runs_here else None
    snapshot = look(target.client(), target.queues, target.state_dir if target.runs_here else None, time.time())
    records = RecordsPoll().look(url, snapshot)
    if as_json:
        printing.as_json(
            {
                "state": str(target.state_dir) if target.runs_here else None,
                "server": url,
                "queues": [
                    {**dataclasses.asdict(view), "totals": _totals(records.totals.get(view.queue))} for view in snapshot.queues
                ],
                "unserved": [dataclasses.asdict(reading) for reading in snapshot.strangers],
                "last_errors": list(records.errors),
            }
        )
        return
    width = shutil.get_terminal_size((160, 24)).columns
    lines = frame(Header(str(target.state_dir), url), snapshot, records, width, 10_000)
    for line in lines:
        click.echo(line if _colours() else without_codes(line))


def _of_a_cluster(cluster: ClusterTarget, as_json: bool) -> None:
    namespace, found = cluster.queueworkers()
    if as_json:
        told = [{"name": one["metadata"]["name"], "spec": one["spec"], "status": one.get("status", {})} for one in found]
        printing.as_json({"namespace": namespace, "queueworkers": told})
        return
    if not found:
        click.echo(f"there are no QueueWorkers in namespace {namespace!r}")
        return
    rows = [["name", "queue", "ready", "in flight", "oldest", "workers", "desired", "mode", "why"]]
    for one in found:
        said = one.get("status", {})
        figures = (said.get(key) for key in ("ready", "inFlight"))
        counts = (said.get(key) for key in ("workers", "desired", "mode"))
        why = said.get("lastDecision", {}).get("sentence")
        cells = [said.get("queue"), *figures, _waiting(said.get("oldestSince")), *counts, printing.text(why, 80)]
        rows.append([one["metadata"]["name"], *("–" if cell is None else str(cell) for cell in cells)])
    printing.table(rows)
    for one in found:
        for condition in one.get("status", {}).get("conditions", ()):
            if condition["status"] != "True":
                click.echo(f"{one['metadata']['name']}: {condition['type']}: {printing.text(condition['message'], 300)}")


def _waiting(since: str | None) -> str | None:
    """For how long the oldest ready task has waited."""
    if since is None:
        return None
    waited = time.time() - datetime.fromisoformat(since).timestamp()
    return f"{max(waited, 0):.0f}s"


def _totals(totals: object) -> dict[str, int] | None:
    return dataclasses.asdict(totals) if dataclasses.is_dataclass(totals) and not isinstance(totals, type) else None


def _colours() -> bool:
    import sys

    return sys.stdout.isatty()
