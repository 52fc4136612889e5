"""The live view: what a round saw, as lines of text. Pure; `terminal` writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from windrow.local.supervisor import QueueView, Snapshot

BOLD, DIM, RED, YELLOW, RESET = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m"


@dataclass(frozen=True)
class Totals:
    """Exact totals of one queue, from the records."""

    finished: int = 0
    retries: int = 0
    failures: int = 0


@dataclass(frozen=True)
class Records:
    """What the server says of the records; `at` is when it said it (seconds since 1970), None before its first word."""

    at: float | None = None
    totals: Mapping[str, Totals] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    """The last errors, the newest first, a line each."""


@dataclass(frozen=True)
class Header:
    """What the view says of the platform as a whole."""

    state: str
    server: str | None = None
    notice: str | None = None
    """What is going on beside the queues: starting, draining, trouble."""


UNREADABLE = "Redis can't be read: workers stay as they are until it can"
_COLUMNS = ("QUEUE", "READY", "DELAYED", "IN FLIGHT", "OLDEST", "WORKERS", "BUSY", "RATE", "RETRIES", "FAILURES")


def frame(header: Header, snapshot: Snapshot, records: Records, width: int, height: int) -> list[str]:
    """The lines of one screen, none wider than `width` columns, at most `height` of them."""
    lines = [BOLD + _cut(f"windrow  {header.server or 'server is starting'}  state {header.state}", width) + RESET, ""]
    if not snapshot.readable:
        lines.append(RED + _cut(UNREADABLE, width) + RESET)
    rows = [_COLUMNS, *(_row(view, records.totals.get(view.queue)) for view in snapshot.queues)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0]), *(cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True))]
        text = _cut("  ".join(cells), width)
        lines.append(f"{DIM}{text}{RESET}" if number == 0 else text)
    lines.append("")
    size = max((len(view.queue) for view in snapshot.queues), default=0)
    for view in snapshot.queues:
        if view.trouble:
            lines.append(f"{RED}{_cut(f'{view.queue.ljust(size)}  {view.trouble}', width)}{RESET}")
        elif view.decision:
            text = f"{view.queue.ljust(size)}  {view.decision.replicas} ({view.decision.reason}): {view.decision.sentence}"
            lines.append(_cut(text, width))
    for reading in snapshot.strangers:
        text = f"{reading.queue}  {reading.ready} ready, and no QueueWorker serves this queue"
        lines.append(f"{YELLOW}{_cut(text, width)}{RESET}")
    if records.errors:
        lines += ["", f"{DIM}last errors{RESET}", *(_cut(error, width) for error in records.errors)]
    if header.notice:
        lines += ["", f"{BOLD}{_cut(header.notice, width)}{RESET}"]
    return lines[:height]


def _row(view: QueueView, totals: Totals | None) -> tuple[str, ...]:
    reading = view.reading
    workers = str(view.serving)
    if view.starting:
        workers += f"+{view.starting}"
    if view.leaving:
        workers += f"-{view.leaving}"
    counts = (
        ("?", "?", "?", "?")
        if reading is None
        else (
            str(reading.ready),
            str(reading.delayed),
            str(reading.in_flight),
            age(reading.oldest_age, reading.oldest_is_lower_bound),
        )
    )
    name = view.queue + (" (paused)" if reading and reading.paused else "")
    rate = "–" if view.rate is None else f"{view.rate:.1f}/s"
    ends = ("–", "–") if totals is None else (str(totals.retries), str(totals.failures))
    return (name, *counts, workers, str(view.busy), rate, *ends)


def age(seconds: float | None, lower_bound: bool = False) -> str:
    """How long, for people: `–`, `0.4s`, `12s`, `3m05s`, `2h07m`; `≥` before what is only a lower bound."""
    if seconds is None:
        return "–"
    bound = "≥" if lower_bound else ""
    if seconds < 10:
        return f"{bound}{seconds:.1f}s"
    whole = int(seconds)
    if whole < 60:
        return f"{bound}{whole}s"
    if whole < 3600:
        return f"{bound}{whole // 60}m{whole % 60:02}s"
    return f"{bound}{whole // 3600}h{whole % 3600 // 60:02}m"


def changes(before: Snapshot | None, now: Snapshot, records: Records) -> str | None:
    """One line for people without a terminal: the queues that changed since `before`; None when none did."""
    if before is not None and before.readable and not now.readable:
        return f"{_clock(now.at)} {UNREADABLE}"
    old = {view.name: view for view in before.queues} if before else {}
    parts = [_said(view, records.totals.get(view.queue)) for view in now.queues if _told(view) != _told(old.get(view.name))]
    known = {reading.queue for reading in before.strangers} if before else set()
    parts += [
        f"{reading.queue}: {reading.ready} ready, and no QueueWorker serves this queue"
        for reading in now.strangers
        if reading.queue not in known
    ]
    return f"{_clock(now.at)} {'; '.join(parts)}" if parts else None


def _told(view: QueueView | None) -> object:
    if view is None:
        return None
    reading = view.reading
    counts = (reading.ready, reading.delayed, reading.in_flight, reading.paused) if reading else None
    return counts, view.serving, view.busy, view.starting, view.leaving, view.trouble


def _said(view: QueueView, totals: Totals | None) -> str:
    reading = view.reading
    if reading is None:
        return f"{view.queue}: not readable"
    text = f"{view.queue}: {reading.ready} ready, {reading.delayed} delayed, {reading.in_flight} in flight"
    if reading.oldest_age is not None:
        text += f", oldest {age(reading.oldest_age, reading.oldest_is_lower_bound)}"
    text += f", {view.serving} workers ({view.busy} busy)"
    if view.starting:
        text += f", {view.starting} starting"
    if totals is not None and (totals.retries or totals.failures):
        text += f", {totals.retries} retries, {totals.failures} failures"
    if view.trouble:
        text += f"; {view.trouble}"
    return text


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def without_codes(line: str) -> str:
    """A line without colours."""
    for code in (BOLD, DIM, RED, YELLOW, RESET):
        line = line.replace(code, "")
    return line


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
