"""How far the records may fall behind: the bound of the event stream, which the scripts keep.

Beyond `most` entries the stream takes no more details (`started`, `progress`, `moved`); beyond twice as many, no new task.
What ends, and what belongs to an accepted execution, is always taken.
"""

from __future__ import annotations

from windrow.broker.client import Client

MOST = 1_000_000
"""Entries of the event stream; the scripts have the same default."""
LEAST = 100
"""The smallest bound that the scripts look at."""


def set_most(client: Client, most: int) -> None:
    """Set the bound for everybody, in entries of the event stream. Raises redis.RedisError."""
    if most == MOST:
        client.delete(client.keys_of.most_events)
    else:
        client.insist("SET", client.keys_of.most_events, most)
