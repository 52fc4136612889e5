"""docs/performance.md and the README's table, from figures: pure."""

from __future__ import annotations

import pytest

from benchmarks import docs, readme
from benchmarks.peers.contestants import PEERS
from benchmarks.peers.records import RECORDS
from benchmarks.profile import shares
from deploy.marked import put


def summary(median: float) -> dict[str, float]:
    return {"median": median, "least": median - 1, "most": median + 1, "turns": 3}


def check(value: float, target: float, *, at_least: bool, met: bool, what: str = "× bare") -> dict[str, object]:
    return {"what": what, "value": value, "target": target, "at_least": at_least, "met": met}


RUN = {
    "date": "2026-01-02T03:04:05+00:00",
    "command": "python -m benchmarks",
    "machine": "2 cores",
    "python": "3.11",
    "rounds": 3,
}
ROW = {
    "key": "any_row",
    "unit": "tasks/s",
    "bare": summary(10.0),
    "windrow": summary(25.0),
    "stretch": 4.0,
    "checks": [
        check(2.5, 2.0, at_least=True, met=True),
        check(0.6, 0.5, at_least=False, met=False, what="× bare CPU"),
    ],
}
PEER = {
    "name": "Other",
    "version": "1.0",
    "on_redis": False,
    "settings": {"noop": "2 slots", "kill": "2 slots"},
    "kept": "nothing",
    "killed": "gone",
    "noop": {"tasks_per_s": summary(100.0), "cpu_per_1000": summary(2.0), "round_trips": summary(3.0)},
    "kill": {"rounds": 3, "tasks": 900, "lost": 7, "twice": 2, "seconds": 11.0},
}


def test_each_check_of_a_row_has_a_line_that_says_whether_it_is_met() -> None:
    """A row that nobody has named in the renderer is shown by what it holds; a miss among its later checks is not hidden."""
    first, second = docs.bench({**RUN, "rows": [ROW]}).splitlines()[2:4]
    assert first == "| `any_row` | tasks/s | 10 (9–11) | 25 (24–26) | 2.5 × bare | ≥ 2 | 4 | met |"
    assert second == "|  |  |  |  | 0.6 × bare CPU | ≤ 0.5 |  | **MISS** |"


def test_each_check_may_have_a_stretch_of_its_own() -> None:
    """A list gives each check its own figure."""
    lines = docs.bench({**RUN, "rows": [{**ROW, "stretch": [4.0, 0.3]}]}).splitlines()
    assert [line.split(" | ")[6] for line in lines[2:4]] == ["4", "0.3"]


def test_misses_are_listed_and_nothing_else() -> None:
    """Only what is not met, with what was asked."""
    assert docs.misses({**RUN, "rows": [ROW]}) == "- `any_row`: 0.6 × bare CPU, 0.5 was asked."
    met = {**ROW, "checks": ROW["checks"][:1]}  # type: ignore[index]
    assert docs.misses({**RUN, "rows": [met]}).startswith("None")


def test_a_peer_without_redis_shows_no_round_trips() -> None:
    """Redis reads that a peer on PostgreSQL did not cause are not its own; what it was not asked to do is a dash."""
    line = docs.peers({"runs": {"noop": RUN, "kill": RUN}, "peers": [PEER]}).splitlines()[2]
    assert line == "| Other 1.0 | 100 (99–101) | 2 (1–3) | – | – | 7 of 900 | 2 | 11 |"


def test_what_a_peer_keeps_is_told_for_each_state_of_a_task() -> None:
    """Whoever compares figures sees beside them what they buy; every contestant but a variant of one has such a line."""
    found = docs.peers({"runs": {"noop": RUN}, "peers": [{**PEER, "name": "arq"}, PEER]}).splitlines()
    head = next(line for line in found if line.startswith("| peer | queued |"))
    assert head == "| peer | queued | running | finished | error | result | where | how long |"
    assert [line.split(" | ")[0] for line in found[found.index(head) + 2 :]] == ["| arq"]
    assert set(PEERS) - set(RECORDS) == {"Celery, acks_late"}


def test_a_block_is_replaced_between_its_marks_alone() -> None:
    """Prose stays; a page that lost its marks is an error, not a page without figures."""
    page = "before\n<!-- bench -->\nold\n<!-- bench end -->\nafter"
    assert put(page, "bench", "new") == "before\n<!-- bench -->\nnew\n<!-- bench end -->\nafter"
    with pytest.raises(ValueError, match="peers end"):
        put(page + "<!-- peers -->", "peers", "new")


def test_the_pages_have_all_marks() -> None:
    """Every block that can be rendered has its place on its page."""
    for name, (page, _, _) in docs.BLOCKS.items():
        assert put(page.read_text(), name, "x")


def test_a_row_that_was_not_measured_leaves_no_line_in_the_readme() -> None:
    """A part of the bench may be run alone."""
    row = {**ROW, "key": "wait50_asyncio100"}
    found = readme.table({**RUN, "rows": [row]})
    assert "100 at a time; bare Celery: 2 slots | 10 | 25 |" in found
    assert "`delay()`" not in found


def test_time_in_built_in_functions_counts_for_the_stage_that_called_them() -> None:
    """One second in `send`, three quarters of it for the Redis client and a quarter for the pool, is theirs in these parts."""
    client, pool, send = ("/x/redis/client.py", 1, "call"), ("/x/billiard/pool.py", 1, "put"), ("~", 0, "send")
    stats = {
        client: (1, 1, 1.0, 1.75, {}),
        pool: (1, 1, 0.0, 0.25, {}),
        send: (2, 2, 1.0, 1.0, {client: (1, 1, 0.75, 0.75), pool: (1, 1, 0.25, 0.25)}),
    }
    assert shares(stats) == {"Redis client": pytest.approx(0.875), "pool and its pipes": pytest.approx(0.125)}
