"""`python -m windrow.testing.serve FILE`: serve the one QueueWorker of the file, until a signal."""

from __future__ import annotations

import sys

from windrow.queues.load import load_specs
from windrow.settings import Settings
from windrow.worker.main import run

if __name__ == "__main__":
    sys.exit(run(load_specs(sys.argv[1])[0], Settings.from_env()))
