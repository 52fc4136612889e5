"""Arrivals replayed through the policy: real bursts are met in time, steady load does not swing, and the command prints it."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import pytest

from tests.unit.scaling_cases import spec
from windrow.scaling import Reason
from windrow.scaling.__main__ import main, read_counts
from windrow.scaling.simulator import replay

DATA = Path(__file__).parents[2] / "tasks" / "windrow_tasks" / "data"


def exponential(mean: float, seed: int = 1):  # type: ignore[no-untyped-def]
    dice = random.Random(seed)
    return lambda: dice.expovariate(1 / mean)


def arrivals(name: str) -> list[int]:
    """A day of real arrivals from the shipped series; without them, one of the same shape: a low hum with sharp bursts."""
    file = DATA / f"Twitter_volume_{name}.csv"
    if file.exists():
        return read_counts(file, "value")[:288]
    dice = random.Random(name)
    return [dice.randint(0, 60) + (900 if number % 97 == 60 else 0) for number in range(288)]


@pytest.mark.parametrize("name", ["FB", "GOOG"])
def test_a_real_day_is_met_in_time(name: str) -> None:
    """Each five minutes of a day of arrivals in ten seconds: 95 % start within the target, and nearly nothing swings."""
    counts = arrivals(name)
    of = spec("{concurrency: 2, scaling: {maxReplicas: 50, waitTarget: 30s}}")
    result = replay(of, counts, step=10.0, run_time=exponential(2.0))
    assert result.tasks == sum(counts)
    assert result.wait_p95 <= 30
    assert result.most_workers <= 50
    assert result.oscillations <= 5
    assert result.replicas[-1] == 0


def test_a_burst_of_500() -> None:
    """500 tasks of 10 s at once on nothing: all workers are asked for in the first decision, and soon they run."""
    of = spec("{concurrency: 2, scaling: {maxReplicas: 250}}")
    result = replay(of, [0, 500, 0, 0], step=1.0, run_time=lambda: 10.0, start_delay=4.0)
    first = next(count for count in result.replicas if count)
    assert first == result.most_workers
    assert result.wait_max <= 15


@pytest.mark.parametrize(("each_step", "mean"), [(1, 1.0), (10, 1.0), (50, 0.4), (100, 0.01), (5, 8.0)])
def test_a_constant_load_does_not_swing(each_step: int, mean: float) -> None:
    """Ten minutes of even arrivals with even run times: after the first minute nobody is given up and asked back."""
    of = spec("{scaling: {scaleDownWindow: 30s}}")
    result = replay(of, [each_step] * 120, step=5.0, run_time=lambda: mean)
    assert result.oscillations == 0
    settled = result.replicas[120:600]
    assert len(set(settled)) == 1
    assert result.wait_p95 <= 3


def test_back_to_nought() -> None:
    """A queue that has gone quiet costs nothing after the window."""
    result = replay(spec("{scaling: {scaleDownWindow: 10s}}"), [20, 0], step=5.0, run_time=lambda: 1.0)
    assert result.replicas[-1] == 0
    assert result.reasons[Reason.COOLING_DOWN] >= 5
    assert len(result.replicas) < 40


def test_draining_loses_no_task() -> None:
    """Workers come and go all the time; every task runs."""
    counts = [30 if number % 7 == 0 else 0 for number in range(60)]
    result = replay(spec("{scaling: {scaleDownWindow: 3s}}"), counts, step=5.0, run_time=exponential(3.0))
    assert result.tasks == sum(counts)
    assert result.changes > 10


def test_a_pinned_queue_at_nought_ends() -> None:
    """A replay that can never be done ends all the same."""
    result = replay(spec("{replicas: 0}"), [1], step=1.0, run_time=lambda: 1.0, tick=5.0)
    assert result.tasks == 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m windrow.scaling trace.csv` prints a small table."""
    trace = tmp_path / "trace.csv"
    with trace.open("w", newline="") as file:
        csv.writer(file).writerows([("timestamp", "value"), ("a", 40), ("b", "3.0"), ("c", 0)])
    assert main([str(trace), "--run", "500ms", "--spread", "constant"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["tasks", "43"]
    assert [line.split("  ")[0] for line in lines] == [
        "tasks",
        "wait p50, p95, most",
        "most workers",
        "worker-seconds",
        "changes",
        "reasons",
    ]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trace or a name that can't be used is said in one line, with file and line, and the exit code is 2."""
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp,value\na,1\nb,many\n")
    assert main([str(trace)]) == 2
    assert capsys.readouterr().err == f"{trace}:3: value must be a number, not 'many'\n"
    assert main([str(trace), "--column", "count"]) == 2
    assert capsys.readouterr().err == f"{trace}:1: the header must have a column 'count', not only timestamp, value\n"
    assert main([str(trace), "--name", "x"]) == 2
    assert capsys.readouterr().err.startswith("--name must be one of high-priority, default")
