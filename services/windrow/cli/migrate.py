"""`windrow migrate`."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from windrow.cli import printing
from windrow.cli.refusal import one_line
from windrow.cli.target import Target, about_a_platform
from windrow.queues.quantities import parse_duration

_URL_MUST = "the URL must be a PostgreSQL URL: postgresql://user:password@host/name"
_AGAIN_S = 0.5
"""Between two tries to reach PostgreSQL."""


@click.command()
@click.option(
    "--outbox",
    metavar="[URL]",
    is_flag=False,
    flag_value="",
    help="Make only an outbox, in another database (URL; without it DATABASE_URL), so that its transactions can `enqueue`.",
)
@click.option(
    "--wait",
    metavar="DURATION",
    default="0s",
    help="How long to wait for a PostgreSQL that can't be reached yet, such as 5m. [default: 0s]",
)
@about_a_platform
def migrate(target: Target, as_json: bool, outbox: str | None, wait: str) -> None:
    """Bring the database's tables (schema windrow) to this release; may be run at any time, and again."""
    import asyncpg
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    from windrow.records.engine import UnusableUrlError
    from windrow.records.migrate import migrate as run
    from windrow.records.migrate import migrate_outbox

    try:
        deadline = time.monotonic() + parse_duration(wait)
    except ValueError as error:
        raise click.ClickException(f"--wait {error}, not {wait!r}") from error
    url = outbox or target.database_url
    if url is None:
        raise click.ClickException("DATABASE_URL must say where PostgreSQL is, or a platform must run on the state folder")
    try:
        _when_reached(lambda: (run if outbox is None else migrate_outbox)(url), deadline)
    except UnusableUrlError as error:
        raise click.ClickException(str(error)) from error
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:  # a certificate that fails is a ValueError too
        if isinstance(error, ArgumentError):
            raise click.ClickException(_URL_MUST) from error
        raise click.ClickException(f"the tables must be migrated, and PostgreSQL says: {one_line(error)}") from error
    except ValueError as error:  # not repeated: it may show the URL, which carries a password
        raise click.ClickException(_URL_MUST) from error
    if as_json:
        printing.as_json({"migrated": True} if outbox is None else {"outbox": True})
    elif outbox is None:
        click.echo("the tables are at this release")
    else:
        click.echo("the outbox is there; name this database's URL in WINDROW_OUTBOXES of `windrow server`, which empties it")


def _when_reached(work: Callable[[], None], deadline: float) -> None:
    """Do it, again while PostgreSQL can't be reached or is starting, until the deadline; raises what the last try raised."""
    import asyncpg

    said = False
    while True:
        try:
            return work()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError) as error:
            if time.monotonic() + _AGAIN_S > deadline:
                raise
            if not said:
                click.echo(f"waiting for PostgreSQL: {one_line(error)}", err=True)
                said = True
            time.sleep(_AGAIN_S)
