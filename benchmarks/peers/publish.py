"""`python -m benchmarks.peers.publish MODULE TASK COUNT [FIRST]`: publishes with a peer's own client, in its own Python."""

from __future__ import annotations

import importlib
import sys


def main(module: str, task: str, count: int, first: int) -> None:
    """`marked` gets the numbers from `first` on; the others get nothing."""
    arguments = [(number,) if task == "marked" else () for number in range(first, first + count)]
    importlib.import_module(f"benchmarks.peers.{module}").publish(task, arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 0)
