"""`python -m benchmarks.peers.copies N COMMAND…`: N equal processes, for peers whose own command starts only one."""

from __future__ import annotations

import signal
import subprocess
import sys


def main() -> int:
    """Start them, pass SIGTERM on, wait for all."""
    children = [subprocess.Popen(sys.argv[2:]) for _ in range(int(sys.argv[1]))]
    signal.signal(signal.SIGTERM, lambda *_: [child.terminate() for child in children])
    return max(child.wait() for child in children)


if __name__ == "__main__":
    sys.exit(main())
