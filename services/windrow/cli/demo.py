"""`windrow demo`: the platform under real arrivals, replayed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from windrow.cli.refusal import refusing
from windrow.cli.target import state_option
from windrow.settings import Settings

DISAGREE = 1


@click.command()
@click.option("--seconds", type=click.FloatRange(min=1), default=60.0, show_default=True, help="How long tasks arrive.")
@click.option("--speedup", type=click.FloatRange(min=1), default=300.0, show_default=True, help="How much faster than it was.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, and end after the replay.")
@state_option
def demo(seconds: float, speedup: float, as_json: bool, state: Path | None) -> int:
    """Replay real arrivals onto four queues, through tasks that parse, pack, fetch and report.

    Starts the platform, unless one runs on the state folder, and stops what it started. On a terminal it stays up to be looked
    at until Ctrl-C; else it ends after the replay with a summary: how each task ended, waits, most workers. Exit code 1 when
    producer, records and metrics don't agree.
    """
    from windrow.local.demo.session import Session
    from windrow.local.folders import StateInUse
    from windrow.local.foundation import Unreachable
    from windrow.local.ports import PortInUse
    from windrow.local.servers import ServerFailed
    from windrow.queues import SpecError

    with refusing(ValueError, SpecError, StateInUse, PortInUse, ServerFailed, Unreachable):
        settings = Settings.from_env()
        if state is not None:
            settings = replace(settings, state_dir=state)
        session = Session(settings, seconds, speedup, stay=sys.stdout.isatty() and not as_json)
        code = session.run()
    if session.outcome is None:
        if session.error is not None:
            raise click.ClickException(f"the replay broke off: {session.error}")
        return code
    if as_json:
        import json

        click.echo(json.dumps(session.outcome.as_json()))
    else:
        click.echo(session.outcome.as_text())
        click.echo(session.where())
    for sentence in session.outcome.sentences:
        click.echo(sentence, err=True)
    return code or (DISAGREE if session.outcome.sentences else 0)
