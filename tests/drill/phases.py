"""Which causes are there at the same time, and in which order."""

from __future__ import annotations

from tests.drill import causes_queues as of_queues
from tests.drill.cause import Cause

PHASES: dict[str, list[Cause]] = {
    "queues": [of_queues.STALLED],
}
CAUSES = {cause.name: cause for phase in PHASES.values() for cause in phase}
