"""`python -m windrow.queues` prints docs/queueworker.md."""

import sys

from windrow.queues.reference import page

sys.stdout.write(page())
