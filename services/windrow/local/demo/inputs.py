"""What each arrival works on. Some inputs can't be worked on, or not yet: by what they are, never by a random number."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from windrow.local.demo.arrivals import SERIES, Arrival
from windrow_tasks import DATA

TRUNCATED_EVERY = 100
"""Of the files to aggregate, one in so many was cut off in the middle of a line: fails."""
BUSY_EVERY = 50
"""Of the addresses to fetch, one in so many answers 503 twice, then 200: two retries."""
GONE_EVERY = 120
"""Of the addresses to fetch, one in so many does not exist: fails."""
LATE_EVERY = 25
"""Of the files to pack, one in so many is put there `LATE_SECONDS` after its task: retries until it is there."""
NEVER_EVERY = 60
"""Of the files to pack, one in so many is never put there: fails when its retries are used up."""
LARGE_EVERY = 120
"""Of the files to pack, one in so many is too large for the queue's soft limit: times out."""
REPORT_EVERY = 5
"""Of the long jobs, one in so many reports over the records; the others scan a whole series."""

LATE_SECONDS = 3.0
LARGE_BYTES = 96 * 2**20
_FIRST_DAY = date(2015, 2, 27)
_DAYS = 54


@dataclass(frozen=True)
class Call:
    """A task by name, its arguments, and a file to put there `LATE_SECONDS` later."""

    task: str
    args: tuple[str | float, ...] = ()
    late: str | None = None


@dataclass(frozen=True)
class Place:
    """Where the inputs of one replay are: a folder of files, and the address of the site to fetch from."""

    folder: Path
    site: str

    @property
    def inbox(self) -> Path:
        """Files to pack and to aggregate."""
        return self.folder / "inbox"

    @property
    def outbox(self) -> Path:
        """Where packed files go."""
        return self.folder / "outbox"


def call(arrival: Arrival, place: Place) -> Call:
    """What the arrival runs, and on what."""
    return _CALLS[arrival.queue](arrival.number, place)


def prepare(folder: Path) -> None:
    """Put the inputs into `folder`, which is emptied first."""
    shutil.rmtree(folder, ignore_errors=True)
    inbox = folder / "inbox"
    inbox.mkdir(parents=True)
    (folder / "outbox").mkdir()
    for name in SERIES.values():
        content = (DATA / f"{name}.csv").read_bytes()
        (inbox / f"{name}.csv").write_bytes(content)
        # A download that broke off: the last line lacks its value.
        (inbox / f"{name}-cut.csv").write_bytes(content[: content.index(b"2015-04-02")] + b"2015-04-02 0")
        for part in range(_PARTS):
            (inbox / f"{name}-{part}.csv").write_bytes(content[part * 20_000 : part * 20_000 + 60_000])
    with (inbox / "large.csv").open("wb") as large:
        while large.tell() < LARGE_BYTES:
            large.write(content)


def put_late(place: Place, name: str) -> None:
    """Put a late file there, whole from its first instant on."""
    source, target = place.inbox / f"{next(iter(SERIES.values()))}-0.csv", place.inbox / name
    part = target.with_suffix(".part")
    shutil.copyfile(source, part)
    part.replace(target)


_PARTS = 12


def _aggregate(number: int, place: Place) -> Call:
    name = tuple(SERIES.values())[number % len(SERIES)]
    if number % TRUNCATED_EVERY == TRUNCATED_EVERY - 1:
        return Call("windrow_tasks.series.aggregate_day", (str(place.inbox / f"{name}-cut.csv"), "2015-04-02"))
    day = _FIRST_DAY + timedelta(days=number % _DAYS)
    return Call("windrow_tasks.series.aggregate_day", (str(place.inbox / f"{name}.csv"), day.isoformat()))


def _fetch(number: int, place: Place) -> Call:
    kind = "steps"
    if number % BUSY_EVERY == BUSY_EVERY - 1:
        kind = "busy"
    elif number % GONE_EVERY == GONE_EVERY - 1:
        kind = "gone"
    return Call("windrow_tasks.fetch.fetch", (f"{place.site}/{kind}/{number}",))


def _pack(number: int, place: Place) -> Call:
    late = None
    name = f"{tuple(SERIES.values())[number % len(SERIES)]}-{number % _PARTS}.csv"
    if number % LARGE_EVERY == LARGE_EVERY // 6:
        name = "large.csv"
    elif number % NEVER_EVERY == NEVER_EVERY - 1:
        name = f"never-{number}.csv"
    elif number % LATE_EVERY == LATE_EVERY - 1:
        name = late = f"late-{number}.csv"
    return Call("windrow_tasks.files.pack_file", (str(place.inbox / name), str(place.outbox)), late)


def _long(number: int, place: Place) -> Call:
    if number % REPORT_EVERY == REPORT_EVERY - 1:
        return Call("windrow_tasks.reports.report")
    name = tuple(SERIES.values())[number % len(SERIES)]
    return Call("windrow_tasks.reports.scan", (str(place.inbox / f"{name}.csv"), 0.01))


_CALLS = {"default": _aggregate, "high_priority": _fetch, "file_queue": _pack, "long_running": _long}

TASKS = (
    "windrow_tasks.series.aggregate_day",
    "windrow_tasks.fetch.fetch",
    "windrow_tasks.files.pack_file",
    "windrow_tasks.reports.scan",
    "windrow_tasks.reports.report",
)
"""Every task that a replay runs."""
