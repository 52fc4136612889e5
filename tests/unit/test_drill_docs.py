"""docs/drill.md says what the drill does, and the drill causes every alert there is."""

from __future__ import annotations

from collections import Counter

from tests.drill.docs import PAGE, causes, outcome, render
from tests.drill.phases import CAUSES, PHASES
from tests.drill.queries import has_samples, has_values

RUN = {
    "date": "2026-11-29", "machine": "2 cores", "prometheus": "2.42.0", "alertmanager": "0.25.0", "factor": 60.0,
    "seconds": 90.0,
    "rows": [
        {
            "cause": "stalled", "fired": ["WindrowQueueStalled(q)"], "held_back": [], "fire_s": 9.4, "resolve_s": None,
            "met": False, "why": ["it must go"],
        }
    ],
    "strangers": ["queues: a stranger"],
    "not_tried": {"operator": "no API server"},
}  # fmt: skip


def test_the_page_lists_the_causes_as_they_are() -> None:
    """`python -m tests.drill.docs` writes it anew."""
    page = PAGE.read_text(encoding="utf-8")
    assert render(page, None) == page


def test_every_cause_stands_once_and_its_name_is_its_own() -> None:
    """A name is what `--rows` takes."""
    counted = Counter(cause.name for phase in PHASES.values() for cause in phase)
    assert set(counted.values()) == {1}
    assert set(counted) == set(CAUSES)


def test_causes_of_one_phase_expect_different_alerts() -> None:
    """Else one would be met by what another caused."""
    for phase in PHASES.values():
        expected = Counter(alert for cause in phase for alert in cause.expected.notified)
        assert set(expected.values()) == {1}


def test_a_run_shows_misses_strangers_and_what_was_not_tried() -> None:
    """Nothing that went wrong is left out of the page."""
    text = outcome(RUN)
    assert "| `stalled` | `QueueStalled(q)` | – | 9 | – | **MISS** |" in text
    assert "- `stalled`: it must go" in text
    assert "- queues: a stranger" in text
    assert "`operator` was **not tried**: no API server" in text


def test_the_table_of_causes_says_what_is_notified() -> None:
    """Without the alerts' common beginning."""
    assert "| `queue_stalled` | queues |" in causes()
    assert "`QueueStalled(stalled)`" in causes()


def test_a_query_has_data_when_there_is_a_number_in_it() -> None:
    """NaN, no series, and rows of nothing are none."""
    assert has_samples([{"values": [[1, "NaN"], [2, "0"]]}])
    assert not has_samples([{"values": [[1, "NaN"]]}])
    assert not has_samples([])
    assert has_values([(None, 1)])
    assert not has_values([(None,)])
    assert not has_values([])
