"""`windrow server`."""

from __future__ import annotations

import click

from windrow.cli.refusal import refusing
from windrow.settings import Settings


@click.command()
def server() -> int:
    """Run the service process: recorder, recovery of dead workers' tasks, due tasks, API and metrics.

    REDIS_URL and DATABASE_URL say where the platform is; WINDROW_HOST and WINDROW_PORT where to listen.
    """
    with refusing(ValueError):
        settings = Settings.from_env()
    from windrow.server.main import run

    return run(settings)
