"""What the operator's bench makes of its figures: pure."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.operator import report
from benchmarks.operator.__main__ import ROWS, document
from benchmarks.operator.bursts import percentile
from benchmarks.operator.costs import Cost, writes
from benchmarks.operator.example import aws_example

OPERATOR = "system:serviceaccount:windrow:windrow-operator"


def row(key: str, value: float) -> report.Row:
    return report.Row(key, "what it is", (report.most("s", value, 1.5), report.least("pods", 5, 5)), note="a note")


def test_the_rows_are_those_that_were_asked_for() -> None:
    """Their keys are read by others."""
    assert list(ROWS) == [
        "burst_500", "inflight_500", "scale_in", "idle_1000", "burst_50_of_1000", "redis_away", "kills", "aws_example",
    ]  # fmt: skip


def test_a_row_is_met_when_all_that_it_must_be_is_met() -> None:
    """One check that is missed is a miss, and is said in both tables."""
    assert row("burst_500", 1.5).met
    assert not row("burst_500", 1.51).met
    made = document([row("burst_500", 1.51)], quick=False, before={})
    assert "1.51 s" in report.table(made["rows"])
    assert "**MISS**" in report.table(made["rows"])
    assert "| `burst_500` | what it is | 1.51 s | ≤ 1.5 | **MISS** |" in report.markdown(made)
    assert "|  |  | 5 pods | ≥ 5 | met |" in report.markdown(made)


def test_rows_of_an_earlier_run_stay_and_name_it() -> None:
    """A part may be measured anew; nothing is passed off as of the same run."""
    before = json.loads(json.dumps(document([row("kills", 1.0), row("burst_500", 1.0)], quick=True, before={})))
    made = document([row("burst_500", 1.2)], quick=False, before=before)
    assert [(found["key"], found["checks"][0]["value"], found["run"]["quick"]) for found in made["rows"]] == [
        ("burst_500", 1.2, False),
        ("kills", 1.0, True),
    ]


def test_the_99th_of_twenty_is_the_worst() -> None:
    """No figure of a small sample is left out."""
    assert percentile([float(n) for n in range(20)], 99) == 19.0
    assert percentile([3.0], 99) == 3.0


def test_writes_are_counted_by_who_made_them_and_leases_apart(tmp_path: Path) -> None:
    """Other accounts' writes are not the operator's; renewing the Lease is no write of interest."""
    log = tmp_path / "audit.log"

    def line(user: str, verb: str, resource: str, part: str = "") -> str:
        reference = {"resource": resource, **({"subresource": part} if part else {})}
        return json.dumps({"verb": verb, "user": {"username": user}, "objectRef": reference}) + "\n"

    first = line(OPERATOR, "create", "events")
    log.write_text(first + 3 * line(OPERATOR, "update", "leases") + 2 * line(OPERATOR, "patch", "queueworkers", "status"))
    with log.open("a") as file:
        file.write(line("system:serviceaccount:kube-system:other", "patch", "deployments"))
    found = writes(log, OPERATOR, len(first))
    assert found == {"leases update": 3, "queueworkers/status patch": 2}
    assert Cost(30.0, 0.0, 0.0, dict(found)).writes_a_minute == 4.0


def test_awss_example_gives_awss_answer_without_the_headroom() -> None:
    """Five more; the default's answer is stated beside it, and the policy is left as it was."""
    assert aws_example().met
    assert "18 workers, 8 more" in aws_example().note
