"""What the drill's judge says of what was expected and what was seen."""

from __future__ import annotations

import pytest

from tests.drill.cause import expect
from tests.drill.judge import Alert, Episode, Expected, Times, judge, strangers
from tests.drill.tower import followed

STALLED, LATE, TICKET = (Alert(f"Windrow{name}", "q") for name in ("QueueStalled", "StartBudgetFast", "StartBudgetTicket"))
TIMES = Times(begun=100.0, mended=130.0)
SEEN = {STALLED: Episode(110.0, 135.0)}
ONE = expect(["QueueStalled"], "q")
WITH_SILENT = expect(["QueueStalled"], "q", silent=["StartBudgetTicket"])


def test_a_cause_whose_alert_came_and_went_is_met_with_its_times() -> None:
    """Seconds count from the cause's beginning, and from its mending."""
    verdict = judge(ONE, SEEN, SEEN, TIMES)
    assert verdict.met
    assert (verdict.fired, verdict.fire_s, verdict.resolve_s) == (("WindrowQueueStalled(q)",), 10.0, 5.0)


def test_the_slowest_of_several_alerts_counts() -> None:
    """One cause, two alerts: it has fired when both have, and is resolved when both are."""
    expected = Expected(frozenset({STALLED, LATE}))
    seen = {**SEEN, LATE: Episode(120.0, 131.0)}
    verdict = judge(expected, seen, seen, TIMES)
    assert (verdict.met, verdict.fire_s, verdict.resolve_s) == (True, 20.0, 5.0)


@pytest.mark.parametrize(
    ("notified", "says"),
    [
        ({}, "must be notified, and was not"),
        ({STALLED: Episode(90.0, 135.0)}, "must not be notified before its cause"),
        ({STALLED: Episode(110.0)}, "must be resolved after mending, and was not"),
        ({STALLED: Episode(110.0, 125.0)}, "must fire as long as its cause is there"),
    ],
)
def test_what_did_not_fire_stay_and_go_with_its_cause_is_a_miss(notified: dict[Alert, Episode], says: str) -> None:
    """Each with a sentence, and without a time that nobody measured."""
    verdict = judge(ONE, notified, notified, TIMES)
    assert len(verdict.why) == 1
    assert says in verdict.why[0]


def test_what_never_came_has_no_times() -> None:
    """No figure stands for what did not happen."""
    verdict = judge(Expected(frozenset({STALLED, LATE})), SEEN, SEEN, TIMES)
    assert (verdict.fire_s, verdict.resolve_s) == (None, None)


def test_what_must_be_held_back_fires_in_prometheus_and_is_not_notified() -> None:
    """One cause pages once; the rest is seen, and only there."""
    shown = {**SEEN, TICKET: Episode(112.0, 140.0)}
    assert judge(WITH_SILENT, SEEN, shown, TIMES).met
    assert judge(WITH_SILENT, SEEN, shown, TIMES).held_back == ("WindrowStartBudgetTicket(q)",)
    assert "must fire in Prometheus" in judge(WITH_SILENT, SEEN, SEEN, TIMES).why[0]
    assert "one cause pages once" in judge(WITH_SILENT, shown, shown, TIMES).why[0]
    assert "must go after mending" in judge(WITH_SILENT, SEEN, {**SEEN, TICKET: Episode(112.0)}, TIMES).why[0]


def test_what_may_fire_may_also_stay_away_but_never_be_notified() -> None:
    """It depends on the moment; a second page for the same cause does not."""
    expected = expect(["QueueStalled"], "q", allowed=["StartBudgetTicket"])
    shown = {**SEEN, TICKET: Episode(112.0, 140.0)}
    assert judge(expected, SEEN, SEEN, TIMES).met
    assert judge(expected, SEEN, shown, TIMES).met
    assert not judge(expected, shown, shown, TIMES).met


def test_what_nothing_accounts_for_is_told_by_where_it_was_seen() -> None:
    """An alert of another queue is a stranger, though its name was expected."""
    other = Alert("WindrowQueueStalled", "other")
    assert strangers([ONE], SEEN, SEEN) == []
    assert "must not be notified" in strangers([ONE], {**SEEN, other: Episode(1.0)}, SEEN)[0]
    assert "Prometheus showed it" in strangers([ONE], SEEN, {**SEEN, other: Episode(1.0)})[0]
    may = expect(["QueueStalled"], "q", allowed=["StartBudgetTicket"])
    assert strangers([may], SEEN, {**SEEN, TICKET: Episode(1.0)}) == []
    assert strangers([ONE, WITH_SILENT], SEEN, {**SEEN, TICKET: Episode(1.0)}) == []


def test_an_alert_is_followed_from_when_it_is_first_seen_until_it_is_gone() -> None:
    """What comes back has not gone."""
    first = followed({}, [STALLED], 1.0)
    gone = followed(first, [], 2.0)
    assert (first[STALLED], gone[STALLED]) == (Episode(1.0), Episode(1.0, 2.0))
    assert followed(gone, [], 3.0)[STALLED] == Episode(1.0, 2.0)
    assert followed(gone, [STALLED], 3.0)[STALLED] == Episode(1.0)
