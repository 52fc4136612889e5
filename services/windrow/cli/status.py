"""`windrow status`."""

from __future__ import annotations

import dataclasses
import shutil
import time

import click

from windrow.cli import printing
from windrow.cli.target import Target, about_a_platform


@click.command()
@about_a_platform
def status(target: Target, as_json: bool) -> None:
    """What each queue holds, who works on it, and why there are so many workers."""
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


def _totals(totals: object) -> dict[str, int] | None:
    return dataclasses.asdict(totals) if dataclasses.is_dataclass(totals) and not isinstance(totals, type) else None


def _colours() -> bool:
    import sys

    return sys.stdout.isatty()
