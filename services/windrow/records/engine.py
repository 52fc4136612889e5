"""Engines for the records' database."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


def database_url(url: str) -> URL:
    """`url` for asyncpg, whichever of PostgreSQL's usual spellings it has; raises ValueError for another database."""
    made = make_url(url)
    if made.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError(
            f"DATABASE_URL must be a PostgreSQL URL (postgresql://user:password@host/name), "
            f"not one of {made.get_backend_name()!r}"
        )
    # asyncpg knows libpq's `sslmode` by another name.
    query = {"ssl" if name == "sslmode" else name: value for name, value in made.query.items()}
    return made.set(drivername="postgresql+asyncpg", query=query)


def make_engine(url: str, **options: Any) -> AsyncEngine:
    """An engine for `url` (`postgresql://` or `postgresql+asyncpg://`); `options` go to `create_async_engine`."""
    if "poolclass" not in options:
        options.setdefault("pool_size", 3)
    options.setdefault("connect_args", {"timeout": 5})
    return create_async_engine(database_url(url), **options)
