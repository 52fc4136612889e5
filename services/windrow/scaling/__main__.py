"""`python -m windrow.scaling trace.csv` replays arrivals through the policy and prints what would have come of it."""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from windrow.queues import QueueWorker, SpecError, default_specs, load_specs
from windrow.queues.quantities import format_duration, parse_duration
from windrow.scaling.simulator import Replay, replay


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay and print; 2 with one sentence on stderr when the trace or the spec can't be used."""
    options = _parser().parse_args(arguments)
    try:
        spec = _spec(options.file, options.name)
        arrivals = read_counts(options.trace, options.column)[options.skip :][: options.rows]
        result = replay(
            spec, arrivals, step=options.step, run_time=_run_time(options), start_delay=options.start_delay, tick=options.tick
        )
    except (SpecError, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(table(spec, result))
    return 0


def read_counts(path: Path, column: str) -> list[int]:
    """The counts in one column of a CSV file with a header; raises ValueError with file and line."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = csv.DictReader(lines)
        if column not in (rows.fieldnames or ()):
            raise ValueError(f"{path}:1: the header must have a column {column!r}, not only {', '.join(rows.fieldnames or ())}")
        counts = []
        for row in rows:
            try:
                counts.append(max(0, round(float(row[column]))))
            except (TypeError, ValueError, OverflowError) as error:
                raise ValueError(f"{path}:{rows.line_num}: {column} must be a number, not {row[column]!r}") from error
    return counts


def table(spec: QueueWorker, result: Replay) -> str:
    """The result as lines of name and value."""
    ticks = sum(result.reasons.values())
    reasons = ", ".join(f"{reason} {count / ticks:.0%}" for reason, count in result.reasons.most_common(5))
    target = format_duration(spec.spec.scaling.wait_target)
    rows = [
        ("tasks", f"{result.tasks}"),
        ("wait p50, p95, most", f"{result.wait_p50:.1f} s, {result.wait_p95:.1f} s, {result.wait_max:.1f} s (target {target})"),
        ("most workers", f"{result.most_workers} at concurrency {spec.spec.concurrency}"),
        ("worker-seconds", f"{result.worker_seconds:.0f}, {result.busy_part:.0%} of their slots busy"),
        ("changes", f"{result.changes}, {result.oscillations} of them a scale-out soon after a scale-in"),
        ("reasons", reasons),
    ]
    width = max(len(name) for name, _ in rows)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in rows)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m windrow.scaling", description=__doc__)
    parser.add_argument("trace", type=Path, help="CSV file with a header and one count of arrivals a row")
    parser.add_argument("--column", default="value", help="the column with the counts (default: value)")
    parser.add_argument("--skip", type=int, default=0, help="rows to leave out at the start")
    parser.add_argument("--rows", type=int, default=None, help="rows to replay (default: all)")
    parser.add_argument("--step", type=parse_duration, default=10.0, help="how long a row lasts (default: 10s)")
    parser.add_argument("--run", type=parse_duration, default=1.0, help="mean run time of a task (default: 1s)")
    parser.add_argument("--spread", choices=("constant", "exponential"), default="exponential", help="how run times spread")
    parser.add_argument("--seed", type=int, default=1, help="of the run times")
    parser.add_argument("--start-delay", type=parse_duration, default=2.0, help="until a new worker serves (default: 2s)")
    parser.add_argument("--tick", type=parse_duration, default=1.0, help="between two decisions (default: 1s)")
    parser.add_argument(
        "-f", "--file", type=Path, default=None, help="windrow.yaml (default: a QueueWorker with every default)"
    )
    parser.add_argument("--name", default=None, help="which QueueWorker of the file (default: the first)")
    return parser


def _spec(file: Path | None, name: str | None) -> QueueWorker:
    specs = default_specs() if file is None else load_specs(file)
    wanted = name if name is not None else "default" if file is None else specs[0].name
    for spec in specs:
        if spec.name == wanted:
            return spec
    raise SpecError(f"--name must be one of {', '.join(spec.name for spec in specs)}, not {wanted!r}")


def _run_time(options: argparse.Namespace) -> Callable[[], float]:
    mean: float = options.run
    if options.spread == "constant":
        return lambda: mean
    dice = random.Random(options.seed)  # noqa: S311 - run times, no secrets
    return lambda: dice.expovariate(1 / mean)


if __name__ == "__main__":
    sys.exit(main())
