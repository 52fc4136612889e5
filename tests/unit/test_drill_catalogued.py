"""What was scraped is what the catalogue says, and all of it."""

from __future__ import annotations

from tests.drill.catalogued import differences
from windrow.metrics.catalogue import BY_NAME

LEADER, DURATION, OPERATOR = (
    BY_NAME[name] for name in ("windrow_leader", "windrow_task_duration_seconds", "windrow_operator_leader")
)
SCRAPED = [
    {"__name__": "windrow_leader", "instance": "a", "job": "windrow", "role": "server"},
    {"__name__": "windrow_task_duration_seconds_bucket", "queue": "q", "le": "1"},
    {"__name__": "windrow_task_duration_seconds_count", "queue": "q"},
]


def test_what_is_scraped_as_the_catalogue_says_is_no_difference() -> None:
    """A histogram's three names are its own; labels of Prometheus' own don't count."""
    assert differences(SCRAPED, [LEADER, DURATION]) == []


def test_a_metric_or_a_label_that_the_catalogue_lacks_is_told() -> None:
    """Once, however many series have it."""
    strange = [
        {"__name__": "windrow_made_up"},
        {"__name__": "windrow_leader", "pod": "a"},
        {"__name__": "windrow_leader", "pod": "b"},
    ]
    told = differences([*SCRAPED, *strange], [LEADER, DURATION])
    assert told == [
        "windrow_leader must have the labels [], and has ['pod']",
        "windrow_made_up must be in the catalogue, and is not",
    ]


def test_what_nobody_exported_is_told_unless_its_exporter_was_not_there() -> None:
    """Operators need an API server."""
    told = differences(SCRAPED, [LEADER, DURATION, OPERATOR])
    assert told == ["windrow_operator_leader is in the catalogue, and must have been scraped"]
    assert differences(SCRAPED, [LEADER, DURATION, OPERATOR], ("operator",)) == []
