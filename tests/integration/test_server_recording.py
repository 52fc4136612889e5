"""How the stream is read: batches grow with what is behind, and what is in memory has a bound."""

import asyncio
from types import SimpleNamespace

import pytest

from tests.integration.records_events import STREAM, accepted, push, read
from windrow.broker.client import connect
from windrow.broker.events import new_id
from windrow.server import recording
from windrow.server.platform import Platform


class Kept:
    """Takes batches in the recorder's place."""

    dropped = 0

    def __init__(self):
        self.batches = []

    async def position(self):
        return self.batches[-1][-1][0] if self.batches else "0-0"

    async def apply(self, entries):
        self.batches.append(entries)
        await asyncio.sleep(0)  # the next batch's read goes out meanwhile


@pytest.fixture
def batches(redis_url, redis_client):
    """Read all of the stream; the batches in their order."""

    def begin():
        async def use():
            client = connect(redis_url)
            platform = Platform(client, SimpleNamespace(), Kept(), redis_url, {})
            platform.lead(True)
            reader = recording.Reader(platform)
            try:
                while redis_client.xlen(STREAM):
                    await reader.step()
            finally:
                await reader.close()
                client.close()
            return platform.recorder.batches

        return asyncio.run(use())

    return begin


def test_batches_grow_with_what_is_behind_up_to_a_bound(redis_client, batches):
    """The further behind the records are the more is written at once, never past the bound; each entry comes once, in order."""
    event = accepted(new_id())
    push(redis_client, [event] * 60_000, together=2)
    expected = [position for position, _ in read(redis_client)]
    found = batches()
    sizes = [sum(len(events) for _, events in batch) for batch in found]
    assert sizes[0] < sizes[1] < sizes[2]
    assert max(sizes) > 2 * recording.BATCH_EVENTS
    assert max(sizes) < recording.MOST_EVENTS + 2 * recording._READ_ENTRIES
    assert [position for batch in found for position, _ in batch] == expected


def test_big_messages_make_small_batches(redis_client, batches):
    """Bytes bound a batch too: messages of a megabyte are not held by the thousand."""
    event = accepted(new_id())
    for _ in range(60):
        redis_client.xadd(STREAM, {"v": "1", "e": "[]", "m": "x" * 2**20})
    push(redis_client, [event])
    found = batches()
    assert sum(map(len, found)) == 61
    assert max(map(len, found)) * 2**20 <= recording.MOST_BYTES + 10 * 2**20
