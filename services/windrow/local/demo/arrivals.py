"""When the tasks of each queue arrive: the counts of a real series, replayed faster. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from windrow_tasks.series import Measurement

STEP_SECONDS = 300.0
"""The series count five minutes at a time."""

SPEEDUP = 300.0
"""Five minutes become a second."""

START = datetime(2015, 4, 1, 20, 40, tzinfo=UTC)
"""Where the replay begins unless told otherwise: five hours with a burst in each of the four series."""

SERIES: Mapping[str, str] = {
    "high_priority": "Twitter_volume_FB",
    "default": "Twitter_volume_GOOG",
    "file_queue": "Twitter_volume_IBM",
    "long_running": "Twitter_volume_PFE",
}
"""Each queue and the series that drives it."""


@dataclass(frozen=True)
class Arrival:
    """One task call: `at` seconds after the replay's start, the `number`th of its queue, counted from 0."""

    at: float
    queue: str
    number: int


def arrivals(
    series: Mapping[str, Sequence[Measurement]], seconds: float, speedup: float = SPEEDUP, start: datetime = START
) -> list[Arrival]:
    """The arrivals of all queues in order, for `seconds` of replay; those of one step stand evenly in it.

    Raises ValueError when the series end before the replay does.
    """
    found: list[Arrival] = []
    for queue, measured in series.items():
        found += _of_queue(queue, measured, seconds, speedup, start)
    return sorted(found, key=lambda arrival: (arrival.at, arrival.queue, arrival.number))


def _of_queue(
    queue: str, measured: Sequence[Measurement], seconds: float, speedup: float, start: datetime
) -> Iterable[Arrival]:
    step = STEP_SECONDS / speedup
    steps = [measurement for measurement in measured if measurement.at >= start]
    if len(steps) * step < seconds:
        raise ValueError(
            f"{seconds:g} s at speed-up {speedup:g} must lie inside the series of {queue}, "
            f"which has {len(steps) * step:g} s left; choose a lower speed-up or fewer seconds"
        )
    number = 0
    for index, measurement in enumerate(steps):
        for place in range(measurement.value):
            at = (index + (place + 0.5) / measurement.value) * step
            if at >= seconds:
                return
            yield Arrival(at, queue, number)
            number += 1
