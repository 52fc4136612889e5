"""`windrow migrate`."""

from __future__ import annotations

import click

from windrow.cli import printing
from windrow.cli.refusal import one_line
from windrow.cli.target import Target, about_a_platform


@click.command()
@click.option(
    "--outbox",
    metavar="[URL]",
    is_flag=False,
    flag_value="",
    help="Make only an outbox, in another database (URL; without it DATABASE_URL), so that its transactions can `enqueue`.",
)
@about_a_platform
def migrate(target: Target, as_json: bool, outbox: str | None) -> None:
    """Bring the database's tables (schema windrow) to this release; may be run at any time, and again."""
    import asyncpg
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    from windrow.records.migrate import migrate as run
    from windrow.records.migrate import migrate_outbox

    url = outbox or target.database_url
    if url is None:
        raise click.ClickException("DATABASE_URL must say where PostgreSQL is, or a platform must run on the state folder")
    try:
        (run if outbox is None else migrate_outbox)(url)
    except (ArgumentError, ValueError) as error:  # neither is repeated: it may show the URL, which carries a password
        raise click.ClickException("the URL must be a PostgreSQL URL: postgresql://user:password@host/name") from error
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"the tables must be migrated, and PostgreSQL says: {one_line(error)}") from error
    if as_json:
        printing.as_json({"migrated": True} if outbox is None else {"outbox": True})
    elif outbox is None:
        click.echo("the tables are at this release")
    else:
        click.echo("the outbox is there; name this database's URL in WINDROW_OUTBOXES of `windrow server`, which empties it")
