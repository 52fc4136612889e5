"""Bounds on the names of exact totals, and ids that can't be recorded."""

import pytest

from windrow.broker.events import new_id
from windrow.records import clean
from windrow.records.names import Names


def test_names_past_the_limit_are_counted_as_other_and_none_is_left_out():
    """However many task names and errors come, series stay bounded and the sum stays exact."""
    names = Names([("attempts", "q", "old", "")], tasks=3, errors=2)
    totals = {("attempts", "q", f"t{n}", ""): 1 for n in range(10)} | {("failures", "q", "old", f"E{n}"): 1 for n in range(9)}
    bounded = names.bound(totals)
    assert bounded.total() == 19
    assert bounded[("attempts", "other", "other", "")] == 8
    assert {key[3] for key in bounded if key[0] == "failures"} == {"E0", "E1", "other"}
    assert names.bound({("attempts", "q", "old", ""): 2}) == {("attempts", "q", "old", ""): 2}


@pytest.mark.parametrize(
    "event",
    [
        None,
        "text",
        {},
        {"k": "accepted"},
        {"k": "accepted", "id": 7},
        {"k": "accepted", "id": "no"},
        {"k": "accepted", "id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
        {"k": "accepted", "id": new_id(1_000_000 + 3 * 86400)},
        {"k": "of a later release", "id": new_id(1_000_000)},
    ],
)
def test_an_event_without_a_usable_id_or_kind_is_told_apart(event):
    """Only a UUIDv7 near enough names a partition."""
    assert clean.execution_id(event, 1_000_000.0) is None


def test_an_execution_id_is_read_from_its_event():
    """A good one comes back as it is."""
    made = new_id(1_000_000)
    assert str(clean.execution_id({"k": "ended", "id": made}, 1_000_000.0)) == made
