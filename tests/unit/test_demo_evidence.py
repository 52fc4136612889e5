"""How the demo's three sources are compared, and what is printed of them: pure."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from windrow.local.demo.evidence import Records, disagreements, since
from windrow.local.demo.outcome import Outcome

RECORDS = Records(
    finished={"default": Counter(success=8, failed=2)},
    unfinished=Counter(),
    counted={"default": Counter(attempts=11, retries=1, failures=3)},
    waits={"default": (0.1, 0.9)},
)
METRICS = {"default": {"finished": 10, "attempts": 11, "retries": 1, "failures": 3}}


def outcome(**changes: object) -> Outcome:
    made = Outcome({"default": 10}, RECORDS, METRICS, {"default": 2}, {"default": 0}, 60.0, 5.0, [])
    return replace(made, **changes)  # type: ignore[arg-type]


def test_equal_figures_are_no_disagreement() -> None:
    """Nothing is said when producer, records and metrics count the same."""
    assert disagreements({"default": 10}, RECORDS, METRICS) == []


def test_each_difference_is_one_sentence() -> None:
    """An execution too few, or a count that differs, is named with its queue and both figures."""
    said = disagreements({"default": 11}, RECORDS, {"default": {**METRICS["default"], "retries": 2}})
    assert len(said) == 2
    assert "default: accepted, finished by the records and finished by the metrics" in said[0]
    assert said[1] == "default: retries must be the same in records and metrics, they are 1 and 2"


def test_a_queue_that_only_the_metrics_know_is_a_disagreement() -> None:
    """What was counted and never accepted is found too."""
    assert disagreements({}, Records({}, Counter(), {}), {"other": {"finished": 1, "attempts": 1}})


def test_only_what_was_counted_since_the_first_scrape_counts() -> None:
    """A state folder with a past does not disturb the figures of a new replay."""
    before = {"finished": Counter(default=5)}
    assert since(before, {"finished": Counter(default=7, file_queue=1)}) == {
        "default": {"finished": 2},
        "file_queue": {"finished": 1},
    }


def test_missing_is_what_was_accepted_without_a_final_state() -> None:
    """`missing` is the producer's count less the final states on record."""
    assert outcome().missing == 0
    assert outcome(accepted={"default": 12}).missing == 2


def test_the_json_object_has_what_it_promises() -> None:
    """One object: accepted, finished, missing, metrics, and per queue waits and workers."""
    found = json.loads(json.dumps(outcome().as_json()))
    assert found["accepted"] == {"total": 10, "default": 10}
    assert found["finished"] == {"failed": 2, "success": 8}
    assert found["missing"] == 0
    assert found["metrics"]["attempts"] == {"default": 11}
    assert found["queues"]["default"] == {"wait_p50_s": 0.1, "wait_p95_s": 0.9, "max_workers": 2, "workers_at_end": 0}
    assert found["agree"] is True


def test_the_summary_says_whether_all_agree() -> None:
    """People read the same verdict in the last line."""
    assert outcome().as_text().endswith("0 missing: producer, records and metrics agree")
    assert outcome(sentences=["default: no"]).as_text().endswith("default: no")
