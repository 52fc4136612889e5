"""The row `backlog`: what a long queue costs: memory of a ready task in Redis, and the pace of the first takes from it.

A few hundred calls go through each side's own `delay()`; their messages are then repeated inside Redis with ids of their own.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

import redis

from benchmarks import counter, database_task
from benchmarks.sides import BARE, WINDROW, Side, log
from benchmarks.stack import Stack, process, produce, until

SAMPLES = 200
CHUNK = 5000
"""Messages a script call pushes: some 5 ms of Redis's time."""
_FILL = """
local parts = cjson.decode(ARGV[1])
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) do redis.call('LPUSH', KEYS[1], table.concat(parts, string.format('%012x', n))) end
"""
# The texts between the ids are strings of Redis's own JSON here; the messages themselves are never decoded.


@dataclass(frozen=True)
class Backlog:
    """One turn of one side: bytes of a ready task in its list and in the stream; tasks/s from a short and a long queue."""

    bytes_per_task: float
    stream_bytes_per_task: float
    short: float
    long: float

    @property
    def flat(self) -> float:
        """The pace from a long queue as a part of that from a short one."""
        return self.long / self.short


def turns(stack: Stack, takes: int, ready: int, rounds: int, say: Callable[[str], None]) -> dict[str, Sequence[Backlog]]:
    """`rounds` turns of each side, `takes` tasks taken from a queue of twice as many and from one of `ready`.

    Windrow takes ten times as many, so that its turns too last for seconds.
    """
    found: dict[str, list[Backlog]] = {"bare": [], "windrow": []}
    for number in range(rounds):
        for side in (BARE[0], WINDROW) if number % 2 == 0 else (WINDROW, BARE[0]):
            own = takes if side.producer == "bare" else 10 * takes
            found[side.producer].append(turn := _turn(stack, side, own, ready))
            say(
                f"backlog: round {number + 1}, {side.producer}: {turn.bytes_per_task:,.0f} bytes a task, "
                f"{turn.stream_bytes_per_task:,.0f} more in the stream until recorded, "
                f"{turn.short:,.0f} tasks/s from {2 * own:,}, {turn.long:,.0f} from {ready:,}"
            )
    return dict(found)


def _turn(stack: Stack, side: Side, takes: int, ready: int) -> Backlog:
    client = stack.client
    client.flushall()
    produce(stack, side.producer, "noop", SAMPLES)
    texts = [text.decode() for text in client.lrange(database_task.QUEUE, 0, -1)]
    stream = (client.memory_usage("windrow:events", samples=0) or 0) / SAMPLES
    client.flushall()
    before = int(client.info("memory")["used_memory"])
    fill(client, texts, ready)
    held = (int(client.info("memory")["used_memory"]) - before) / ready
    long = _pace(stack, side, takes)
    client.flushall()
    fill(client, texts, 2 * takes)
    return Backlog(held, stream, _pace(stack, side, takes), long)


def _pace(stack: Stack, side: Side, takes: int) -> float:
    """Tasks a second, from a tenth of the first `takes` tasks to the last of them."""
    counter.reset(stack.counter)
    with side.services(stack), process(side.worker(stack), stack.environment(side.settings), log(stack, "worker")):
        counter.wait(stack.counter, takes // 10, 120)
        begun, first = stack.counter.stat().st_size, time.monotonic()
        counter.wait(stack.counter, takes, 300)
        return float((takes - begun) / (time.monotonic() - first))


def fill(client: redis.Redis, texts: Sequence[str], count: int) -> None:
    """Push `count` messages like `texts`, each with ids of its own; raises RuntimeError if they are not all there."""
    script = client.register_script(_FILL)
    templates = [json.dumps(split(text)) for text in islice(texts, 20)]
    for at, template in zip(range(0, count, CHUNK), cycle(templates), strict=False):
        script(keys=[database_task.QUEUE], args=[template, at, min(at + CHUNK, count) - 1])
    until(lambda: client.llen(database_task.QUEUE) == count, 1, f"{count} messages are there")


def split(text: str) -> list[str]:
    """A message's text between its ids' last parts."""
    for identity in set(_ids(json.loads(text))):
        text = text.replace(identity, identity[:-12] + "\0")
    return text.split("\0")


def _ids(message: dict[str, object]) -> Iterator[str]:
    headers, properties = message["headers"], message["properties"]
    assert isinstance(headers, dict)
    assert isinstance(properties, dict)
    yield str(headers["id"])
    yield str(properties["delivery_tag"])
    if "windrow" in headers:
        yield str(headers["windrow"]["id"])
