"""Whether a worker must look at its queue: what it has heard, what the last look made of it, and when the next one is due.

Between looks the next message of any producer wakes one worker of the queue, its listener, with one push (client tracking);
when it can't take all that waits, it rings the bells of idle ones, as many as messages wait. Pure: times are passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from windrow.broker.inflight import InFlight

LISTENER, IDLE, LISTENER_OF_MORE = 1, 2, 3
"""What a call says that this worker is now; in the first two cases nothing waits, and it will hear of what comes."""
ASKED, DRAINED = b"asked", b"drained"
"""What Redis has of this worker when a scaler wants it gone, and when it has answered that it drained."""


class Attention:
    """One worker's; `unread` are keys whose changes are no news for it, though it has read them."""

    def __init__(self, unread: Iterable[str]) -> None:
        self.role = 0
        """`LISTENER`, `IDLE`, or 0: neither."""
        self.looked_at = 0.0
        """When the last look was sent, in monotonic seconds."""
        self._unread = {name.encode() for name in unread}
        self._look, self._when_free, self._when_empty = True, False, False
        self._heard = False
        self._asked = self._free = 0
        self._not_before = 0.0

    def look(self) -> None:
        """Look as soon as there is something to look for."""
        self._look = True

    def look_again(self) -> None:
        """A look by itself: nothing told it to."""
        self._look = True
        self.pushes()

    def pushes(self) -> None:
        """It puts something back itself, which Redis does not tell it."""
        self._heard = self._heard or self.role == LISTENER

    def forget(self) -> None:
        """Its connection is gone, and what it would have heard on it."""
        self.role, self._heard = 0, False

    def wait(self, until: float) -> None:
        """The queue's rate limit said no: look at `until` (monotonic seconds), not before."""
        self._not_before = until

    def hear(self, push: list[Any]) -> None:
        """A key that was read here has changed, or the bell was rung."""
        if push[0] == b"invalidate":
            # That another worker came or went, or that a retry took its message's place, is no news for this one.
            if push[1] is not None and self._unread.issuperset(push[1]):
                return
        elif push[0] != b"message":
            return
        elif self.role == IDLE:
            self.role = 0
        self._look = self._heard = True

    def must_look(self, inflight: InFlight, wanted: int, now: float, *, resting: bool) -> bool:
        """Whether the next call is to look; a listener that is full looks too when something came: it rings the others."""
        looks = (
            self._heard
            or (self._look and (wanted > 0 or inflight.clearing))
            or (self._when_free and wanted > 0 and inflight.idle_slots > 0)
            or (self._when_empty and not inflight.messages)
        )
        return (now >= self._not_before and looks) or (resting and self.role > 0)

    def looks(self, wanted: int, free: int, now: float) -> None:
        """A call that looks is sent, for so many messages; `free` slots are free."""
        self._look = self._when_free = self._when_empty = self._heard = False
        self.looked_at, self._asked, self._free = now, wanted, free

    def says(self, free: int, *, resting: bool) -> str:
        """How this worker hears of the next message, as the `sync` script has it; `free` slots are free."""
        if resting:
            return "x"
        if self.role == LISTENER:
            return f"m{free}"
        if self._heard:
            return f"r{free}"
        return f"i{free}" if self.role == IDLE else f"b{free}"

    def answered(self, what: int, taken: int, allowed: int, drain: bytes, inflight: InFlight) -> None:
        """After a look: what this worker is now, and whether it must look again by itself: it took all that it was allowed.

        At once if that was all it asked for; for what is left to idle workers, and when it was full (then or now), when a slot
        is free: nobody will tell it of what waits. One that was asked to drain looks once more when it is empty, to say so.
        """
        empty = what in (LISTENER, IDLE)
        self.role = LISTENER if what == LISTENER_OF_MORE else what
        filled = 0 < allowed <= taken
        if not empty and filled and allowed >= self._asked:
            self._look = True
        elif not empty and (filled or inflight.idle_slots == 0 or self._free == 0):
            self._when_free = True
        self._when_empty = drain == ASKED and bool(inflight.messages)
