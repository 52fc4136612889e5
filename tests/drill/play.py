"""Plays a phase: all its causes begin, each is mended once its alerts have fired, and it ends when nothing fires any more."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.drill.cause import Cause
from tests.drill.judge import Times, Verdict, judge, names, strangers
from tests.drill.stage import Stage

LOOK_S = 0.25
QUIET_S = 3.0
"""A phase ends when nothing has fired for so long."""
STANDS_S = 5.0
"""A cause stays so long after its alerts were notified: one that goes by itself is seen."""


@dataclass
class _Playing:
    cause: Cause
    begun: float = 0.0
    complete: float | None = None
    mended: float | None = None
    trouble: list[str] = field(default_factory=list)


def play(stage: Stage, causes: list[Cause], say: Callable[[str], None]) -> tuple[list[dict[str, Any]], list[str]]:
    """Play causes at the same time; a row each, and sentences about what none of them accounts for."""
    warm = [cause.warm for cause in causes if cause.warm]
    stage.warm(warm)
    for cause in causes:
        cause.prepare(stage)
    stage.desk.forget()
    stage.tower.forget()
    playing = []
    for cause in causes:
        one = _Playing(cause, time.monotonic())
        _tried(one, lambda cause=cause: cause.begin(stage), "begin")
        playing.append(one)
    quiet: float | None = None
    while quiet is None or time.monotonic() - quiet < QUIET_S:
        time.sleep(LOOK_S)
        shown, notified = stage.tower.look(), stage.desk.notified()
        now = time.monotonic()
        for one in playing:
            _mend_when_due(stage, one, shown, notified, now, say)
        busy = any(_waits(stage, one, shown, notified, now) for one in playing)
        quiet = None if busy else quiet or now
    shown, notified = stage.tower.look(), stage.desk.notified()
    stage.producer.stop()
    rows = []
    for one in playing:
        verdict = judge(one.cause.expected, notified, shown, Times(one.begun, one.mended or one.begun))
        rows.append(_row(one, verdict))
    stage.cool()
    return rows, strangers([cause.expected for cause in causes], notified, shown)


def _mend_when_due(stage: Stage, one: _Playing, shown: Any, notified: Any, now: float, say: Callable[[str], None]) -> None:
    if one.mended is not None:
        return
    expected = one.cause.expected
    if one.complete is None and expected.notified <= notified.keys() and expected.silent <= shown.keys():
        one.complete = now
        say(f"{one.cause.name}: fired after {now - one.begun:.1f} s")
    if (one.complete is not None and now - one.complete >= STANDS_S) or now - one.begun > one.cause.fires_s:
        one.mended = time.monotonic()
        _tried(one, lambda: one.cause.mend(stage), "be mended")


def _waits(stage: Stage, one: _Playing, shown: Any, notified: Any, now: float) -> bool:
    """Whether more may come of it: it is not mended, or what it caused fires and has time left to go."""
    if one.mended is None:
        return True
    expected = one.cause.expected
    mine = expected.notified | expected.silent | expected.allowed
    fires = any(seen[alert].gone is None for seen in (shown, notified) for alert in mine & seen.keys())
    return now - one.mended < one.cause.resolves_s and (fires or not one.cause.settled(stage))


def _tried(one: _Playing, act: Callable[[], None], what: str) -> None:
    try:
        act()
    except Exception as error:
        traceback.print_exc()
        one.trouble.append(f"it must {what}, and did not: {type(error).__name__}: {error}"[:500])


def _row(one: _Playing, verdict: Verdict) -> dict[str, Any]:
    why = [*one.trouble, *verdict.why]
    return {
        "cause": one.cause.name,
        "says": one.cause.says,
        "expected": list(names(one.cause.expected.notified)),
        "fired": list(verdict.fired),
        "held_back": list(verdict.held_back),
        "fire_s": verdict.fire_s,
        "resolve_s": verdict.resolve_s,
        "met": not why,
        "why": why,
    }
