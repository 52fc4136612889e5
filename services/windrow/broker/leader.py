"""Which of several servers leads, and where they are."""

from __future__ import annotations

import time
from typing import cast

from windrow.broker.client import Client

_HOLD = """
local holder = redis.call('GET', KEYS[1])
redis.call('PERSIST', KEYS[3]) -- changes nothing; after a write of the same script a full Redis refuses no other
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[2])
return 1
"""
_RESIGN = """
redis.call('HDEL', KEYS[3], ARGV[1])
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[2])
  return redis.call('DEL', KEYS[1])
end
return 0
"""

FORGET_SECONDS = 60.0
"""A server that has said nothing for so long is no longer among the others."""


class Leadership:
    """A lease on leading: renewed by `hold`, free for others `ttl` seconds after the last renewal."""

    def __init__(self, client: Client, token: str, ttl: float = 8.0) -> None:
        """`token` names this server, and no other."""
        self._client, self._token, self.ttl = client, token, ttl

    def hold(self, address: str = "", secret: str = "") -> bool:
        """Take the lead, or keep it; False when another server leads. Raises redis.RedisError.

        `address` (host:port) and `secret` are what workers ask the leading server with; without an address they can't.
        """
        keys = [self._client.keys_of.leader, self._client.keys_of.server, self._client.keys_of.servers]
        said = f"{address} {secret}" if address else ""
        arguments: list[str | int] = [self._token, int(self.ttl * 1000), f"{address} {time.time():.0f}", said]
        return bool(self._client.eval(_HOLD, len(keys), *keys, *arguments))

    def resign(self) -> None:
        """Let another server lead at once. Raises redis.RedisError."""
        keys = [self._client.keys_of.leader, self._client.keys_of.server, self._client.keys_of.servers]
        self._client.eval(_RESIGN, len(keys), *keys, self._token)

    def others(self) -> list[str]:
        """Where the other servers are that were here within a minute (host:port). Raises redis.RedisError."""
        known = cast(dict[bytes, bytes], self._client.hgetall(self._client.keys_of.servers))
        found = []
        for token, text in known.items():
            address, _, at = text.decode().partition(" ")
            if token.decode() == self._token or not address:
                continue
            if time.time() - float(at or 0) > FORGET_SECONDS:
                self._client.hdel(self._client.keys_of.servers, token)
            else:
                found.append(address)
        return sorted(found)
