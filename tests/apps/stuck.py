"""An app whose workers can be brought to a standstill, and are given up sooner than in earnest."""

from __future__ import annotations

import time

from celery.worker.control import control_command

from tests.apps.evidence import app
from windrow.worker import probes

__all__ = ["app"]

probes.STALE_SECONDS = 2.0  # type: ignore[misc]


@control_command(args=[("seconds", float)])
def stand_still(state, seconds):
    """Hold the worker's event loop, as what is broken in it would."""
    time.sleep(seconds)
