"""Progress on record is bounded, in size and in time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from windrow.authoring import progress


@pytest.mark.parametrize("meta", [{"current": 1}, [1, 2], None, "text", {"when": object()}])
def test_a_small_meta_is_kept_as_it_is(meta: Any) -> None:
    """What fits is JSON of the same; what is no JSON becomes text."""
    assert json.loads(progress.bounded(meta)) == json.loads(json.dumps(meta, default=str))


@pytest.mark.parametrize("meta", ["x" * 100_000, ['"' * 10_000], {"\u20ac" * 5_000: 1}, {("no", "json"): "\\" * 9_000}])
def test_a_large_meta_is_cut_and_stays_json(meta: Any) -> None:
    """At most 4,096 characters, whatever the escapes make of them, and still JSON that says it was cut."""
    text = progress.bounded(meta)
    assert len(text) <= progress.MOST_META
    assert json.loads(text).keys() == {"cut"}


def test_one_a_second_for_each_execution() -> None:
    """Within a second of an execution's last event no other is due; another execution's is; few are remembered."""
    assert progress._due("one", 100.0)
    assert not progress._due("one", 100.9)
    assert progress._due("two", 100.9)
    assert progress._due("one", 101.1)
    for number in range(1000):
        progress._due(f"many {number}", 102.0)
    assert len(progress._last) <= 256
