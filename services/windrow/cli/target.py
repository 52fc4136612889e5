"""The platform a command is about: the one that runs on a state folder, or the one that the environment names."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from windrow.cli.refusal import one_line, refusing
from windrow.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from windrow.broker.client import Client

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Target:
    """Where the platform's servers are, as far as they are known, and which queues it serves."""

    state_dir: Path
    redis_url: str | None = field(default=None, repr=False)
    database_url: str | None = field(default=None, repr=False)
    key_prefix: str = ""
    queues: Mapping[str, str] = field(default_factory=dict)
    """Queue by QueueWorker name; empty when unknown."""
    runs_here: bool = False

    def client(self) -> Client:
        """A Redis client; refuses when no platform is known."""
        from windrow.broker.client import connect

        if self.redis_url is None:
            raise self._unknown("REDIS_URL")
        return connect(self.redis_url, key_prefix=self.key_prefix)

    def queue_of(self, name: str) -> str:
        """The queue that a QueueWorker's name, or the queue's own, means; refuses a name that the platform doesn't serve."""
        if name in self.queues:
            return self.queues[name]
        if not self.queues:
            return name.replace("-", "_")
        if name in self.queues.values():
            return name
        raise click.ClickException(f"NAME must be one of {', '.join(self.queues)}, not {name!r}")

    def read(self, ask: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """What `ask` finds in the records; refuses when no platform is known or its database doesn't answer."""
        import asyncpg
        from sqlalchemy.exc import SQLAlchemyError
        from sqlalchemy.pool import NullPool

        from windrow.records.engine import make_engine

        url = self.database_url
        if url is None:
            raise self._unknown("DATABASE_URL")

        async def run() -> T:
            engine = make_engine(url, poolclass=NullPool)
            try:
                async with engine.connect() as connection:
                    return await ask(connection)
            finally:
                await engine.dispose()

        try:
            return asyncio.run(run())
        except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
            raise click.ClickException(f"the records must be readable, and PostgreSQL says: {one_line(error)}") from error

    def _unknown(self, variable: str) -> click.ClickException:
        return click.ClickException(
            f"a platform must run on the state folder {str(self.state_dir)!r}, and none does; "
            f"start one with `windrow up`, name its folder with --state, or set {variable}"
        )


def find_target(state: Path | None) -> Target:
    """The platform on `state`; without it the one in the environment, else the one on WINDROW_STATE or `.windrow`."""
    with refusing(ValueError):
        settings = Settings.from_env()
    folder = settings.state_dir if state is None else state
    running = None
    if folder.is_dir():  # an image of workers or servers lacks what `windrow.local` needs, and has no such folder
        from windrow.local.platform import find

        running = find(folder)
    from_env = state is None
    redis_url = settings.redis_url if from_env else None
    database_url = settings.database_url if from_env else None
    return Target(
        state_dir=folder,
        redis_url=redis_url or (running.redis_url if running else None),
        database_url=database_url or (running.database_url if running else None),
        key_prefix=running.key_prefix if running and not redis_url else settings.key_prefix,
        queues=running.queues if running else {},
        runs_here=running is not None,
    )


def _in_the_environment() -> Target:
    """What the environment alone says, whatever runs on this machine."""
    with refusing(ValueError):
        settings = Settings.from_env()
    return Target(settings.state_dir, settings.redis_url, settings.database_url, settings.key_prefix)


state_option = click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="The platform's state folder.  [default: WINDROW_STATE, or .windrow]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def about_a_platform(command: F) -> F:
    """Give a command `--state` and `--json`, and the target in place of the folder; a Redis that is away is one sentence."""

    @state_option
    @json_option
    @functools.wraps(command)
    def wrapped(*args: Any, state: Path | None, **options: Any) -> Any:
        import redis

        try:
            target = find_target(state) if options.get("cluster") is None else _in_the_environment()
            return command(*args, target=target, **options)
        except redis.RedisError as error:
            raise click.ClickException(f"Redis must answer, and it says: {one_line(error)}") from error

    return wrapped  # type: ignore[return-value]  # click adds its parameters to the function itself
