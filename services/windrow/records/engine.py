"""Engines for the records' database."""

from __future__ import annotations

import ssl
from typing import Any

from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine


class UnusableUrlError(ValueError):
    """A DATABASE_URL that can't be used; the sentence says why, and never repeats the URL, which may carry a password."""


def database_url(url: str) -> URL:
    """`url` for asyncpg, whichever of PostgreSQL's usual spellings it has; raises UnusableUrlError for another database."""
    made = make_url(url)
    if made.get_backend_name() not in ("postgresql", "postgres"):
        raise UnusableUrlError(
            f"DATABASE_URL must be a PostgreSQL URL (postgresql://user:password@host/name), "
            f"not one of {made.get_backend_name()!r}"
        )
    # asyncpg knows libpq's `sslmode` by another name, and its `sslrootcert` only as a context (`connect_args`).
    left_out = ("sslrootcert", "sslmode") if "sslrootcert" in made.query else ()
    query = {"ssl" if name == "sslmode" else name: value for name, value in made.query.items() if name not in left_out}
    return made.set(drivername="postgresql+asyncpg", query=query)


def tls_of(url: str) -> ssl.SSLContext | None:
    """What a URL's `sslrootcert` asks for: its authority and no other, and with `sslmode=verify-full` the server's name.

    As in libpq; None when it names none. Raises UnusableUrlError when the file can't be used.
    """
    query = make_url(url).query
    authority = query.get("sslrootcert")
    if authority is None:
        return None
    mode = query.get("sslmode", "verify-full")
    if mode not in ("require", "verify-ca", "verify-full"):
        raise UnusableUrlError(
            f"DATABASE_URL's sslmode must be require, verify-ca or verify-full beside sslrootcert, not {mode!r}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    try:
        context.load_verify_locations(str(authority))
    except (OSError, ssl.SSLError) as error:
        raise UnusableUrlError(
            f"DATABASE_URL's sslrootcert must be a file with certificates, and {authority!r} is not: {error}"
        ) from None
    return context


def make_engine(url: str, **options: Any) -> AsyncEngine:
    """An engine for `url` (`postgresql://` or `postgresql+asyncpg://`); `options` go to `create_async_engine`."""
    if "poolclass" not in options:
        options.setdefault("pool_size", 3)
    options.setdefault("connect_args", {"timeout": 5})
    context = tls_of(url)
    if context is not None:
        options["connect_args"] = {**options["connect_args"], "ssl": context}
    return create_async_engine(database_url(url), **options)
