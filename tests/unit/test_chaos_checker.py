"""The chaos suite's judge: each figure counts what its name says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.checker import check
from tests.chaos.log import Call, Line, Log, Outage, Told

STEP = "work/0"
ATTEMPTED = ("attempts", "chaos", "work", "")


def start(at: float, pid: int = 1, task: str = "t", token: str = "a", step: str = STEP, **more: str) -> Line:
    return Line(at, pid, "start", task, step, token, **more)


def end(at: float, pid: int = 1, task: str = "t", token: str = "a", step: str = STEP, what: str = "end", **more: str) -> Line:
    return Line(at, pid, what, task, step, token, **more)


def final(execution: str = "e", task: str = "t", state: str = "success", at: float = 3.0) -> list[Told]:
    return [Told(1.0, "accepted", execution, task, None), Told(at, "ended", execution, None, state)]


WHOLE = Log(
    calls=[Call(1.0, True, "t", "-")],
    lines=[start(2.0), end(3.0)],
    told=final(),
    recorded={"e": ("t", "success")},
    end=10.0,
)
"""One task that was accepted, ran once and has its final."""
TWICE = replace(WHOLE, lines=[start(2.0), end(3.0), start(4.0, 2, token="b"), end(5.0, 2, token="b")])
BESIDE = replace(WHOLE, lines=[start(2.0), start(2.5, 2, token="b"), end(3.0), end(3.5, 2, token="b")])
DIED = replace(WHOLE, lines=[start(2.0), start(4.0, 2, token="b"), end(5.0, 2, token="b")], deaths={1: 2.5})
RETRIED = replace(
    WHOLE,
    lines=[
        start(2.0),
        start(2.4, 2, token="b", step="work/1"),
        end(2.5, what="stop", extra="Retry"),
        end(3.0, 2, token="b", step="work/1"),
    ],
)
LABELLED = Call(1.0, True, "root", "c1", frozenset({"c1.0", "c1.1"}))

CASES = {
    "nothing is wrong": (WHOLE, {}),
    "refused calls count for nothing": (replace(WHOLE, calls=[*WHOLE.calls, Call(1.5, False, "-", "-")]), {"accepted": 1}),
    "no final on record": (replace(WHOLE, recorded={}), {"missing": 1}),
    "still running on record": (replace(WHOLE, recorded={"e": ("t", "running")}), {"missing": 1, "stuck": 1}),
    "on record, not final, and its call was not accepted": (
        replace(WHOLE, recorded={"e": ("t", "success"), "f": ("u", "ready")}),
        {"missing": 1, "stuck": 1},
    ),
    "no final in the stream, without records": (replace(WHOLE, told=final()[:1], recorded=None), {"missing": 1}),
    "a durable one is missing": (
        replace(WHOLE, calls=[Call(1.0, True, "t", "-", durable=True)], recorded={}),
        {"missing": 1, "missing_durable": 1},
    ),
    "accounts that agree": (replace(WHOLE, accounts=[("they", {ATTEMPTED: 2}, {ATTEMPTED: 2})]), {}),
    "accounts that differ in one figure": (
        replace(WHOLE, accounts=[("they", {ATTEMPTED: 2}, {ATTEMPTED: 3}), ("others", {}, {})]),
        {"apart": 1},
    ),
    "a figure that one account lacks": (replace(WHOLE, accounts=[("they", {}, {ATTEMPTED: 1})]), {"apart": 1}),
    "a promised step did not run": (
        replace(WHOLE, calls=[LABELLED], lines=[start(2.0, label="c1.0"), end(3.0, label="c1.0")]),
        {"missing": 1, "accepted": 2},
    ),
    "two finals": (replace(WHOLE, told=[*final(), *final(state="failed")]), {"finished_twice": 1}),
    "one step finished as two tasks": (
        replace(
            WHOLE,
            lines=[
                start(2.0, label="c1.0"),
                end(2.1, label="c1.0"),
                start(3.0, task="u", token="b", label="c1.0"),
                end(3.1, task="u", token="b", label="c1.0"),
            ],
        ),
        {"finished_twice": 1},
    ),
    "ran to its end twice": (TWICE, {"repeated": 1}),
    "two attempts at once": (BESIDE, {"overlapping": 1, "overlap_s": 0.5, "repeated": 1}),
    "a frozen process does not run": (replace(BESIDE, frozen=[(1, 2.45, 3.0)]), {"repeated": 1}),
    "a process thawed too early does": (
        replace(BESIDE, frozen=[(1, 2.45, 2.8)]),
        {"overlapping": 1, "overlap_s": 0.2, "repeated": 1},
    ),
    "a dead process runs no more": (replace(DIED, kills={1: 2.5}), {"recover_s": 1.5, "next_s": 1.5}),
    "its message is back before it starts again": (
        replace(DIED, kills={1: 2.5}, told=[*final(), Told(1.0, "back", "t", "t", None), Told(2.75, "back", "t", "t", None)]),
        {"recover_s": 0.25, "next_s": 1.5},
    ),
    "what runs alone from now on waits for that": (
        replace(DIED, kills={1: 2.5}, told=[*final(), Told(2.75, "apart", "t", "t", None)]),
        {"recover_s": 0.25},
    ),
    "a process that nobody killed was interrupted": (DIED, {"interrupted": 1}),
    "a process that died before the harness's blow was interrupted": (replace(DIED, kills={1: 8.0}), {"interrupted": 1}),
    "a task that ends its process is not": (replace(DIED, expected={"work": "success"}), {}),
    "a body that somebody cancelled was interrupted": (
        replace(WHOLE, lines=[start(2.0), end(3.0, what="stop", extra="CancelledError")]),
        {"interrupted": 1},
    ),
    "a body that raised was not": (replace(WHOLE, lines=[start(2.0), end(3.0, what="stop", extra="ValueError")]), {}),
    "a body without an end was": (replace(WHOLE, lines=[start(2.0)]), {"interrupted": 1}),
    "a retry may start before the body has unwound": (RETRIED, {}),
    "a refused finish": (replace(WHOLE, told=[*final(), Told(4.0, "refused", "e", None, None)]), {"refused": 1}),
    "a final that a good task must not have": (
        replace(WHOLE, told=final(state="lost"), recorded={"e": ("t", "lost")}),
        {"wrong": 1},
    ),
    "another final on record than in the stream": (replace(WHOLE, recorded={"e": ("t", "failed")}), {"wrong": 1}),
    "the final of a task that is no good": (
        replace(WHOLE, told=final(state="lost"), recorded={"e": ("t", "lost")}, expected={"work": "lost"}),
        {},
    ),
    "a final that Redis lost again": (
        replace(WHOLE, told=[*final(at=2.9), *final(at=5.0)], lost=[(2.5, 2.95)]),
        {},
    ),
    "the same final of the same attempt, told again after a loss": (
        replace(WHOLE, told=[*final(), *final(at=5.0)], lost=[(3.5, 4.0)]),
        {},
    ),
    "another final after a loss": (
        replace(WHOLE, told=[*final(), *final(at=5.0, state="failed")], lost=[(3.5, 4.0)]),
        {"finished_twice": 1},
    ),
    "started before it was due": (replace(WHOLE, lines=[start(2.0, extra="2.5"), end(3.0)]), {"early": 1, "early_s": 0.5}),
    "started after it was due": (replace(WHOLE, lines=[start(2.0, extra="1.5"), end(3.0)]), {"late_s": 0.5}),
    "the first start after an outage": (replace(WHOLE, outages=[Outage("Redis", 1.0, 1.25)]), {"recover_s": 0.75}),
    "accepted in what Redis lost": (replace(WHOLE, lost=[(0.9, 1.1)]), {"lost_tail": 1}),
    "its acknowledgement may not have left": (replace(WHOLE, kills={1: 3.01}), {"unsent": 1}),
}
FIGURES = (
    "missing", "finished_twice", "overlapping", "repeated", "interrupted", "refused", "recover_s", "early", "late_s",
    "missing_durable", "lost_tail", "unsent", "stuck", "wrong", "next_s", "overlap_s", "early_s", "apart",
)  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_figure_counts_what_its_name_says(name: str) -> None:
    """The figures named are as given, all others are 0."""
    log, expected = CASES[name]
    verdict = check(log)
    assert {figure: getattr(verdict, figure) for figure in FIGURES} == {
        **dict.fromkeys(FIGURES, 0),
        **{figure: value for figure, value in expected.items() if figure != "accepted"},
    }
    assert verdict.accepted == expected.get("accepted", 1)


def test_a_miss_says_which_execution() -> None:
    """What was counted is named, so that a miss can be followed up."""
    assert check(replace(WHOLE, recorded={})).detail["missing"] == ["t accepted at 1.000 has no final"]
    assert "pid 1 and pid 2 for 0.500 s" in check(BESIDE).detail["overlapping"][0]
