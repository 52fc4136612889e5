"""`python -m windrow.metrics` prints docs/metrics.md."""

import sys

from windrow.metrics.page import page

sys.stdout.write(page())
