"""The loads, kinds of workers and limits that several rows have in common."""

from __future__ import annotations

from collections.abc import Mapping

from tests.chaos.load import Load
from tests.chaos.processes import Kind
from tests.chaos.row import Limit, once_each_slot

KILLS: Mapping[str, Limit] = {"repeated": once_each_slot, "recover_s": 10.0}
ONCE: Mapping[str, Limit] = {"repeated": 0}
NO_RECORDS = "bare Celery keeps no records"

BUSY = Load(rate=9, seconds=(0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.3, 12.0))
"""With bodies that are longer than a lease."""
CANVAS = Load("canvas", count=360, rate=12, seconds=(0.0, 0.02, 0.1))
FOURS = (Kind(slots=4), Kind(slots=4), Kind(slots=4))
EIGHTS = (Kind(slots=8), Kind(slots=8), Kind(slots=8))
MIXED = (Kind(slots=4), Kind(slots=4), Kind("asyncio", 40))
