"""How the end-to-end rows are chosen, compared and played side by side."""

from __future__ import annotations

import pytest

from tests.e2e.docs import PAGE, outcome, render
from tests.e2e.judge import Verdict
from tests.e2e.row import Outcome, Row, chosen, together, tried
from tests.e2e.rows import ROWS
from tests.e2e.stage import Stage, Wrong, spread
from tests.e2e.totals import difference, told

PLAYED = [Row("a", "", lambda stage: Outcome()), Row("b", "", lambda stage: Outcome(), ("b1", "b2"), after=("a",))]
PLAYED += [Row("c", "", lambda stage: Outcome(), after=("b",)), Row("d", "", lambda stage: Outcome())]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        pytest.param((), "abcd", id="all when none is named"),
        pytest.param(("d",), "d", id="one that needs nothing"),
        pytest.param(("b2",), "ab", id="one of several that are played at once, and what it needs"),
        pytest.param(("d", "c"), "abcd", id="in the table's order, with what they need in turn"),
    ],
)
def test_rows_are_chosen_by_name_with_those_that_they_need(names: tuple[str, ...], found: str) -> None:
    """In the order of the table."""
    assert "".join(row.name for row in chosen(PLAYED, names)) == found


def test_an_unknown_row_is_refused_with_the_names_that_there_are() -> None:
    """The sentence names both."""
    with pytest.raises(ValueError, match=r"rows must be among a, b, b1, b2, c, d, not e$"):
        chosen(PLAYED, ["e"])


def test_every_row_has_a_name_of_its_own_and_comes_after_those_that_it_needs() -> None:
    """The real table."""
    names = [name for row in ROWS for name in row.names]
    assert len(names) == len(set(names))
    places = {row.name: place for place, row in enumerate(ROWS)}
    assert all(places[needed] < places[row.name] for row in ROWS for needed in row.after)


def test_a_row_that_breaks_is_a_miss_and_the_others_beside_it_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A rule that raised gives its sentence; anything else its name, and a traceback to read."""

    def wrong(stage: Stage) -> Outcome:
        raise Wrong("it must hold")

    def broken(stage: Stage) -> Outcome:
        raise KeyError("x")

    found = together(None, {"wrong": wrong, "broken": broken, "well": lambda stage: Outcome(accepted=3)})  # type: ignore[arg-type]
    assert found["wrong"].wrong == ["it must hold"]
    assert found["broken"].wrong == ["KeyError('x')"]
    assert (found["well"].wrong, found["well"].accepted) == ([], 3)
    assert "Traceback" in capsys.readouterr().err


def test_a_repeated_body_is_a_miss_only_where_the_grace_allowed_finishing() -> None:
    """The same verdict, of two rows."""
    verdict = Verdict(accepted=10, missing=0, finished_twice=0, repeated=2, overlapping=0)
    allowed, refused = Outcome(), Outcome()
    allowed.add(verdict, repeats=True)
    refused.add(verdict, repeats=False)
    assert (allowed.wrong, allowed.repeated) == ([], 2)
    assert refused.wrong == ["repeated must be 0 and is 2"]


@pytest.mark.parametrize("figure", ["missing", "finished_twice", "overlapping"])
def test_what_is_missing_twice_or_overlapping_is_always_a_miss(figure: str) -> None:
    """Whatever the fault; the sentence names examples."""
    figures = dict.fromkeys(("missing", "finished_twice", "repeated", "overlapping"), 0) | {figure: 1}
    outcome = tried(lambda: Outcome())
    outcome.add(Verdict(accepted=10, **figures, detail={figure: ["a"]}), repeats=True)
    assert outcome.wrong == [f"{figure} must be 0 and is 1: ['a']"]


def test_the_loads_tasks_take_between_five_and_sixty_seconds_and_the_same_every_time() -> None:
    """What every fault row sends."""
    lengths = [seconds for (seconds,) in spread(200)]
    assert (min(lengths) < 6, max(lengths) > 59) == (True, True)
    assert all(5 <= seconds <= 60 for seconds in lengths)
    assert spread(200) == spread(200)


def test_totals_and_records_agree_only_when_every_count_is_the_same() -> None:
    """Finished executions alone are compared; a zero is as good as nothing."""
    answered = [
        {"kind": "finished", "queue": "q", "task": "t", "label": "success", "value": 3},
        {"kind": "finished", "queue": "q", "task": "t", "label": "failure", "value": 0},
        {"kind": "attempts", "queue": "q", "task": "t", "label": "", "value": 9},
    ]
    exported = told(answered)
    assert difference({("q", "t", "success"): 3}, exported) == {}
    assert difference({("q", "t", "success"): 4}, exported) == {("q", "t", "success"): (4, 3)}
    assert difference({}, exported) == {("q", "t", "success"): (0, 3)}


RUN = {
    "date": "2026-01-02",
    "machine": "2 cores",
    "seconds": 90.0,
    "network_policies_enforced": False,
    "rows": [
        {
            "name": "one", "ok": False, "accepted": 1200, "missing": 1, "finished_twice": 0, "repeated": 0, "overlapping": 0,
            "seconds": 12.3, "first_task_s": 19.3, "wrong": ["missing must be 0 and is 1"],
        }
    ],
}  # fmt: skip


def test_the_page_shows_a_runs_figures_its_misses_and_that_policies_were_not_enforced() -> None:
    """What a reader must not overlook is in bold."""
    shown = outcome(RUN)
    assert "| `one` | 1,200 | 1 | 0 | 0 | 0 | 12 | **MISS** | first task s 19.3 |" in shown
    assert "- `one`: missing must be 0 and is 1" in shown
    assert "1.5 minutes" in shown
    assert "**not enforced**" in shown


def test_the_pages_table_of_rows_is_the_one_that_is_played() -> None:
    """docs/e2e.md is rendered by `python -m tests.e2e.docs`."""
    page = PAGE.read_text(encoding="utf-8")
    assert render(page, None) == page
    assert "<!-- run -->\n| row |" in page, "the page must show a run"
