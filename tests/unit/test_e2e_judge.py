"""What the end-to-end rows count, from what bodies told and what is on record."""

from __future__ import annotations

import pytest

from tests.e2e.judge import Blow, Line, judge, p99, read


def run(task: str, token: str, start: float, *rest: tuple[float, str]) -> list[Line]:
    """What one run of a body told."""
    return [Line(at, what, task, token, f"pod-{token}", "1/1") for at, what in ((start, "start"), *rest)]


WHOLE = run("a", "x", 1.0, (6.0, "beat"), (9.0, "end"))


def test_a_task_that_ran_once_and_is_a_success_on_record_counts_as_nothing_else() -> None:
    """A whole run: nothing missing, nothing twice, nothing again."""
    verdict = judge(["a"], WHOLE, {"a": "success"})
    assert (verdict.accepted, verdict.missing, verdict.finished_twice, verdict.repeated, verdict.overlapping) == (1, 0, 0, 0, 0)
    assert verdict.detail == {}


@pytest.mark.parametrize(
    ("lines", "records"),
    [
        pytest.param([], {"a": "success"}, id="no body ran, whatever Windrow says"),
        pytest.param(WHOLE[:-1], {"a": "success"}, id="its body never ended"),
        pytest.param(WHOLE, {}, id="not on record"),
        pytest.param(WHOLE, {"a": "lost"}, id="on record as something else"),
    ],
)
def test_a_task_is_missing_unless_body_and_record_both_say_that_it_ended_well(
    lines: list[Line], records: dict[str, str]
) -> None:
    """Neither the body's word nor Windrow's is enough."""
    verdict = judge(["a"], lines, records)
    assert verdict.missing == 1
    assert verdict.detail["missing"][0].startswith("a: ")


def test_a_body_that_came_to_its_end_twice_has_finished_twice() -> None:
    """Two ends of one task, in runs of their own; an end told twice by one run is one."""
    again = run("a", "y", 20.0, (25.0, "end"))
    twice = judge(["a"], [*WHOLE, *again], {"a": "success"})
    assert (twice.finished_twice, twice.repeated, twice.detail["finished_twice"]) == (1, 1, ["a"])
    assert judge(["a"], [*WHOLE, WHOLE[-1]], {"a": "success"}).finished_twice == 0


@pytest.mark.parametrize(
    ("blow", "twice", "unsent"),
    [
        pytest.param(Blow("pod-x", 9.3), 0, 1, id="its worker was struck within half a second"),
        pytest.param(Blow("pod-x", 8.0), 0, 1, id="its worker was dying"),
        pytest.param(Blow("pod-x", 9.8), 1, 0, id="its worker had time to tell"),
        pytest.param(Blow("pod-y", 9.3), 1, 0, id="another worker was struck"),
        pytest.param(Blow("pod-x", 0.5), 1, 0, id="it had not yet started when the worker was struck"),
        pytest.param(None, 1, 0, id="nobody was struck"),
    ],
)
def test_an_end_that_died_with_its_worker_on_its_way_is_no_second_end(blow: Blow | None, twice: int, unsent: int) -> None:
    """The body ended at 9 s in pod-x, and again in pod-y; no queue can know of the first."""
    verdict = judge(["a"], [*WHOLE, *run("a", "y", 20.0, (25.0, "end"))], {"a": "success"}, blow)
    assert (verdict.finished_twice, verdict.unsent, verdict.repeated) == (twice, unsent, 1)


def test_two_ends_beside_one_that_was_cut_off_are_two() -> None:
    """The blow explains one of three."""
    lines = [*WHOLE, *run("a", "y", 20.0, (25.0, "end")), *run("a", "z", 30.0, (35.0, "end"))]
    assert judge(["a"], lines, {"a": "success"}, Blow("pod-x", 9.3)).finished_twice == 1


def test_a_body_that_was_cut_off_and_ran_again_is_repeated_only() -> None:
    """The second run starts after the first one's last word."""
    cut = run("a", "x", 1.0, (6.0, "beat"))
    verdict = judge(["a"], [*cut, *run("a", "y", 14.0, (20.0, "end"))], {"a": "success"})
    assert (verdict.missing, verdict.finished_twice, verdict.repeated, verdict.overlapping) == (0, 0, 1, 0)


def test_two_bodies_of_one_task_that_were_alive_at_once_overlap() -> None:
    """The first one still told of itself after the second had started; the order of the lines doesn't matter."""
    first, second = run("a", "x", 1.0, (6.0, "beat"), (16.0, "beat")), run("a", "y", 14.0, (20.0, "end"))
    assert judge(["a"], [*second, *first], {"a": "success"}).overlapping == 1


def test_what_was_not_accepted_here_is_of_no_interest() -> None:
    """Each row is judged for its own tasks."""
    verdict = judge(["a"], [*WHOLE, *run("b", "z", 1.0), *run("b", "w", 2.0)], {"a": "success"})
    assert (verdict.accepted, verdict.missing, verdict.repeated) == (1, 0, 0)


def test_the_evidence_file_is_read_line_by_line_and_half_a_line_is_none() -> None:
    """The pod may be read while it writes."""
    assert read("1.500 start a x pod 1/1\n2.0 end a x po") == [Line(1.5, "start", "a", "x", "pod", "1/1")]


def test_the_99th_percentile_is_by_nearest_rank() -> None:
    """Of a hundred the ninety-ninth, of few the last, of none 0."""
    assert p99(range(1, 101)) == 99
    assert p99([3.0, 1.0]) == 3.0
    assert p99([]) == 0.0
