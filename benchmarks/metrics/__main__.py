"""`python -m benchmarks.metrics`: what scrapes take and cost, into `build/metrics.json`. Exit code 1 when a limit is missed."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.metrics import cost, server, worker
from benchmarks.metrics.limits import checks
from benchmarks.run import run_of
from benchmarks.stack import folder, start

PARTS = ("worker", "server", "cost")


def main() -> int:
    """Parse the flags, measure, show, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.metrics", description=__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure (default: all)")
    parser.add_argument("--scrapes", type=int, default=200, help="of each worker; a tenth of it of the server")
    parser.add_argument("--tasks", type=int, default=4000, help="tasks of each turn of the cost")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each variant of the cost")
    parser.add_argument("--out", type=Path, default=Path("build/metrics.json"), help="where the figures are written")
    flags = parser.parse_args()
    made: dict[str, Any] = json.loads(flags.out.read_text()) if flags.out.exists() else {}
    run = run_of(shlex.join(["python", "-m", "benchmarks.metrics", *sys.argv[1:]]))
    run["load"] = f"{os.getloadavg()[1]:.1f}"
    with folder("windrow-metrics-") as where, start(where) as stack:
        if "worker" in flags.parts:
            made["worker"] = {
                "run": run,
                "pools": [asdict(worker.measure(stack, pool, flags.scrapes)) for pool in worker.SLOTS],
            }
        if "server" in flags.parts:
            made["server"] = {"run": run, **asdict(server.measure(stack, max(flags.scrapes // 10, 1), print))}
        if "cost" in flags.parts:
            costs = cost.measure(stack, flags.tasks, flags.rounds, print)
            made["cost"] = {"run": run, "tasks": flags.tasks, "variants": [asdict(one) for one in costs]}
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(json.dumps(made, indent=1) + "\n")
    found = checks(made)
    print("\n".join(map(str, found)))
    return 0 if all(check.met for check in found) else 1


if __name__ == "__main__":
    sys.exit(main())
