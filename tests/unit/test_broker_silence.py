"""When a worker counts as dead."""

from __future__ import annotations

from windrow.broker.events import decode, fields, id_time, new_id
from windrow.broker.recovery import Silence


def test_eight_seconds_of_silence_are_death() -> None:
    """A worker whose beat has not changed for more than 8 s, by the leader's clock, is dead; one that beats is not."""
    silence = Silence()
    for second in range(9):
        assert silence.dead({"quiet": b"1", "loud": b"%d" % second}, 100.0 + second) == []
    assert silence.dead({"quiet": b"1", "loud": b"9"}, 108.5) == ["quiet"]


def test_a_leader_that_was_away_counts_afresh() -> None:
    """A pause of the leader (or of Redis, which stops the ticks) is nobody's silence."""
    silence = Silence()
    silence.dead({"w": b"1"}, 100.0)
    assert silence.dead({"w": b"1"}, 160.0) == []
    assert silence.dead({"w": b"1"}, 162.0) == []


def test_a_new_leader_counts_afresh() -> None:
    """The first look never kills."""
    assert Silence().dead({"w": b"1"}, 1e9) == []


def test_execution_ids_sort_by_time() -> None:
    """Ids are UUIDv7: version and variant bits, and the millisecond they were made in."""
    early, late = new_id(1_700_000_000.001), new_id(1_700_000_000.002)
    assert early < late
    assert id_time(early) == 1_700_000_000.001
    assert early[14] == "7"
    assert early[19] in "89ab"


def test_an_entry_keeps_its_events_and_the_message() -> None:
    """What `fields` writes, `decode` reads; the message belongs to the first event."""
    entry = {
        key.encode(): value.encode() if isinstance(value, str) else value
        for key, value in fields({"k": "accepted"}, {"k": "ended"}, message='{"é": 1}').items()
    }
    assert decode(entry) == [{"k": "accepted", "message": '{"é": 1}'}, {"k": "ended"}]
