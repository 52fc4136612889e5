"""`windrow up`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from windrow.cli.refusal import refusing
from windrow.cli.target import state_option
from windrow.settings import Settings


@click.command()
@click.option(
    "-f",
    "--file",
    type=click.Path(path_type=Path),
    help="The queues to serve.  [default: WINDROW_SPECS, or windrow.yaml if there is one, or the default set]",
)
@state_option
def up(file: Path | None, state: Path | None) -> int:
    """Run the whole platform on this machine: Redis, PostgreSQL, the server, and workers that follow their queues.

    REDIS_URL and DATABASE_URL take the place of the embedded servers. Ctrl-C lets running tasks finish and leaves no process
    behind; a second Ctrl-C stops at once and loses nothing.
    """
    from windrow.queues import SpecError, default_specs, load_specs

    with refusing(ValueError, SpecError):
        settings = Settings.from_env()
        if state is not None:
            settings = replace(settings, state_dir=state)
        file = file or settings.specs or (Path("windrow.yaml") if Path("windrow.yaml").exists() else None)
        specs = load_specs(file) if file is not None else default_specs()
    from windrow.local.folders import StateInUse
    from windrow.local.foundation import Unreachable
    from windrow.local.ports import PortInUse
    from windrow.local.servers import ServerFailed
    from windrow.local.up import run

    with refusing(SpecError, StateInUse, PortInUse, ServerFailed, Unreachable):
        return run(specs, settings)
