"""Which causes are there at the same time, and in which order."""

from __future__ import annotations

from tests.drill import causes_platform as of_the_platform
from tests.drill.cause import Cause
from tests.drill.causes_budgets import CAUSES as OF_BUDGETS
from tests.drill.causes_operator import OPERATOR_LEADER
from tests.drill.causes_queues import CAUSES as OF_QUEUES

PHASES: dict[str, list[Cause]] = {
    "queues": OF_QUEUES,
    "budgets": OF_BUDGETS,
    "side by side": [
        of_the_platform.RECORDS_DROPPED,
        of_the_platform.PARTITION_HORIZON,
        of_the_platform.REDIS_MEMORY,
        OPERATOR_LEADER,
    ],
    "recorder": [of_the_platform.RECORDS_NOT_WRITTEN],
    "database": [of_the_platform.DATABASE_AWAY],
    "leaders": [of_the_platform.TWO_LEADERS],
    "no leader": [of_the_platform.NO_LEADER],
    "redis": [of_the_platform.REDIS_AWAY],
}
"""A phase is one thing after another with all else quiet; its causes have nothing to do with each other."""

CAUSES = {cause.name: cause for phase in PHASES.values() for cause in phase}
