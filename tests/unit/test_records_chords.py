"""What a batch tells of chords."""

import pytest

from windrow.records.chords import fold_chords


def event(what, group="G", run="r", **more):
    return {"k": "chord", "id": "x", "t": 1_700_000_000.0, "what": what, "group": group, "run": run, **more}


BEGUN = event("begun", size=2, expires=60)
ONE = event("part", who="a:0", place="0", part="[1]", ordered=True, size=2, expires=60, body={"task": "b"})
AGAIN = event("part", who="a:0", place="0", part="[2]", ordered=True, size=2, expires=60)
ENDED = event("ended")


@pytest.mark.parametrize(
    ("events", "size", "parts", "ended"),
    [
        ([BEGUN], 2, {}, False),
        ([BEGUN, ONE, AGAIN], 2, {"a:0": ("0", True, "[1]")}, False),
        ([ONE], 2, {"a:0": ("0", True, "[1]")}, False),
        ([ONE, ENDED], 2, {"a:0": ("0", True, "[1]")}, True),
        ([ENDED], None, {}, True),
        ([ONE, ENDED, BEGUN], 2, {}, False),
        ([event("part", who="a:0", place="0", part=None, size=None)], None, {"a:0": ("0", False, None)}, False),
        ([event("unheard of")], None, {}, False),
    ],
)
def test_events_of_one_chord(events, size, parts, ended):
    """A part counts as it was first; an end before a new run belongs to the old one."""
    ((key, chord),) = fold_chords(events).items()
    assert key == ("G", "r")
    assert (chord.size, chord.parts, chord.ended) == (size, parts, ended)


def test_what_begins_and_ends_in_one_batch_leaves_no_trace():
    """Most chords do: nothing is written for them."""
    assert fold_chords([BEGUN, ONE, ENDED]) == {}


def test_each_run_is_a_chord_of_its_own():
    """The same group applied again."""
    assert fold_chords([BEGUN, event("begun", run="s", size=3)]).keys() == {("G", "r"), ("G", "s")}
