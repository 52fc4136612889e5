"""`windrow migrate`."""

from __future__ import annotations

import click

from windrow.cli import printing
from windrow.cli.refusal import one_line
from windrow.cli.target import Target, about_a_platform


@click.command()
@about_a_platform
def migrate(target: Target, as_json: bool) -> None:
    """Bring the database's tables (schema windrow) to this release; may be run at any time, and again."""
    import asyncpg
    from sqlalchemy.exc import SQLAlchemyError

    from windrow.records.migrate import migrate as run

    if target.database_url is None:
        raise click.ClickException("DATABASE_URL must say where PostgreSQL is, or a platform must run on the state folder")
    try:
        run(target.database_url)
    except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"the tables must be migrated, and PostgreSQL says: {one_line(error)}") from error
    if as_json:
        printing.as_json({"migrated": True})
    else:
        click.echo("the tables are at this release")
