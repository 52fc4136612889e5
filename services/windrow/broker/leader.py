"""Which of several servers leads."""

from __future__ import annotations

from windrow.broker.client import Client

_HOLD = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RESIGN = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Leadership:
    """A lease on leading: renewed by `hold`, free for others `ttl` seconds after the last renewal."""

    def __init__(self, client: Client, token: str, ttl: float = 8.0) -> None:
        """`token` names this server, and no other."""
        self._client, self._token, self._ttl = client, token, ttl

    def hold(self) -> bool:
        """Take the lead, or keep it; False when another server leads. Raises redis.RedisError."""
        return bool(self._client.eval(_HOLD, 1, self._client.keys_of.leader, self._token, int(self._ttl * 1000)))

    def resign(self) -> None:
        """Let another server lead at once. Raises redis.RedisError."""
        self._client.eval(_RESIGN, 1, self._client.keys_of.leader, self._token)
