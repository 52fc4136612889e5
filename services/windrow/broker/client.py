"""A plain Redis client for all that is not on a worker's hot path."""

from __future__ import annotations

from typing import Any, cast

import redis

from windrow.broker.keys import Keys
from windrow.broker.scripts import load


class Client(redis.Redis):
    """A Redis client that knows the platform's keys."""

    keys_of: Keys
    first_seen: dict[tuple[str, bytes], float]
    """When `observe` first saw a message that doesn't say when it was accepted, by queue and the message's end."""

    def insist(self, command: str, key: str, *arguments: Any) -> Any:
        """Do one write that a full Redis, too, does not refuse; `key` has no time to live. Raises redis.RedisError."""
        return load("insist")(self, [key], [command, *arguments])


def connect(url: str, *, timeout: float = 3.0, key_prefix: str = "") -> Client:
    """A client for `url`; each command is answered, or fails with `redis.RedisError`, within `timeout` seconds.

    Nothing is sent before the first command.
    """
    client = cast(Client, Client.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout))
    client.keys_of = Keys(key_prefix)
    client.first_seen = {}
    return client
