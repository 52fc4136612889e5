"""What this worker has taken, and what it has to say about it: bookkeeping without I/O.

A message that was taken is *waiting* (taken ahead) or *delivered* (given to the pool). What the worker says about it is an
operation of the `sync` script; operations leave with the next call, and are kept until the call is answered, so that a lost
connection loses none and repeats none.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from windrow.broker.keys import HANDED_ON, stored, unstored

Operation = tuple[str | bytes | int, ...]

UNKNOWN = ("", "", "1")
"""The last fields of an operation that ends a message of which nothing is known here."""

TAKES_OUT = frozenset("FPGK")
"""Operations that remove a message from the in-flight set."""

AHEAD_SECONDS = 0.02
"""What is taken ahead should start within this time."""
RECENT_SECONDS = 2.0
"""Redis puts what it has done on disk each second (`appendfsync everysec`)."""
MOST_AHEAD = 64
"""A bound on what is taken ahead, whatever the pace."""


@dataclass(slots=True)
class Taken:
    """A message in this worker's hands; `tag` is its field in the in-flight set."""

    tag: int
    step: int
    queue: str
    message: bytes
    delivered_at: float | None = None
    """When the pool got it, monotonic seconds; None while it waits."""
    goes_on: bool = False
    """Whether something follows its end: a next step, a callback, a chord."""
    names: tuple[str, str] = ("", "")
    """Its delivery tag and its task id, as the script `sync` takes them; empty when it must look them up."""

    @property
    def ending(self) -> tuple[str, str, str]:
        """The last fields of the operation that ends it."""
        return (*self.names, "1" if self.goes_on or not self.names[0] else "")


@dataclass
class InFlight:
    """The messages in this worker's hands and the operations not yet answered."""

    slots: int
    messages: dict[int, Taken] = field(default_factory=dict)
    waiting: deque[int] = field(default_factory=deque)
    outbox: list[Operation] = field(default_factory=list)
    unanswered: list[Operation] = field(default_factory=list)
    next_tag: int = 1
    pace: float | None = None
    """Mean seconds from one end to the next with all slots busy, from how long the pool kept each; None before the first."""

    alone: int | None = None
    """The message, by its tag, beside which nothing else may run."""
    clearing: bool = False
    """Whether nothing may be taken until all that is in flight here has ended, so that one can run alone."""

    leaving: dict[int, Taken] = field(default_factory=dict)
    """Messages that an operation of the outbox takes out."""
    left: dict[int, Taken] = field(default_factory=dict)
    """Messages that an operation which was not answered yet takes out."""
    recent: deque[tuple[float, list[Operation]]] = field(default_factory=deque)
    """What was answered within `RECENT_SECONDS`: Redis may lose that much when it dies."""
    followed: set[int] = field(default_factory=set)
    """Of the messages in `recent` and `leaving` those, by tag, whose end something follows."""

    deep: bool = False
    """Whether the pool itself takes short calls ahead, and hands back those that it has not started."""

    @property
    def delivered(self) -> int:
        """How many messages the pool holds."""
        return len(self.messages) - len(self.waiting)

    @property
    def free(self) -> int:
        """How many more messages the pool may be given."""
        return max(self.slots + self.handed - self.delivered, 0)

    @property
    def handed(self) -> int:
        """How much of what is taken ahead the pool is given, so that no slot waits for this process between two calls."""
        return self.ahead // 4 if self.deep else 0

    @property
    def ahead(self) -> int:
        """How many messages to take beyond the slots: what the measured pace says will start within `AHEAD_SECONDS`."""
        if not self.pace:
            return 0
        return min(int(AHEAD_SECONDS / self.pace), MOST_AHEAD)

    @property
    def idle_slots(self) -> int:
        """How many slots have nothing to do."""
        return max(self.slots - len(self.messages), 0)

    @property
    def wanted(self) -> int:
        """How many messages the next call should take."""
        if self.alone is not None or (self.clearing and self.messages):
            return 0
        return max(self.slots + self.ahead - len(self.messages), 0)

    def take(self, values: Iterable[bytes]) -> None:
        """Note what an answered call took, in order."""
        for value in values:
            self._hold(self.next_tag, value)
            self.next_tag += 1

    def next(self, now: float) -> Taken | None:
        """The next message for the pool, if a slot is free and one waits; it counts as delivered from `now` (monotonic)."""
        if not self.waiting or not self.free:
            return None
        taken = self.messages[self.waiting.popleft()]
        taken.delivered_at = now
        return taken

    def say(self, *operation: str | bytes | int, now: float = 0.0) -> None:
        """Send an operation with the next call; those that take a message out end its stay here at once."""
        if operation[0] in TAKES_OUT:
            tag = int(operation[1])
            taken = self.messages.pop(tag, None)
            if taken is None:
                return
            self.leaving[tag] = taken
            if taken.goes_on:
                self.followed.add(tag)
            if tag == self.alone:
                self.alone = None
            if taken.delivered_at is None:
                self.waiting.remove(taken.tag)
            elif operation[0] == "F":
                self._learn((now - taken.delivered_at) / max(self.slots, self.delivered + 1))
        self.outbox.append(operation)

    def _learn(self, gap: float) -> None:
        """Follow a longer run at once and a shorter one slowly: taking too little ahead costs less than hoarding."""
        if self.pace is None:
            self.pace = gap
        else:
            self.pace += (gap - self.pace) * (0.5 if gap > 8 * self.pace else 0.2)

    def give_back_waiting(self) -> int:
        """Hand back what was taken ahead and not started, so that it is next in line in its old order; says how many."""
        tags = list(self.waiting)
        for tag in reversed(tags):
            self.say("G", tag, "")
        self.pace = None
        return len(tags)

    def batch(self) -> list[Operation]:
        """The operations of the next call; they stay unanswered until `answered` or `resumed`."""
        said, self.outbox = self.outbox, []
        # What goes back goes newest first, each in front of the last: a call under way may have brought newer ones since.
        back = sorted((operation for operation in said if operation[0] == "G"), key=lambda one: int(one[1]), reverse=True)
        self.unanswered = [operation for operation in said if operation[0] != "G"] + back if len(back) > 1 else said
        self.left, self.leaving = self.leaving, {}
        return self.unanswered

    def answered(self, now: float = 0.0) -> None:
        """The call with the last batch was answered: it was carried out once."""
        if self.unanswered:
            self.recent.append((now, self.unanswered))
            self.unanswered, self.left = [], {}
        while self.recent and self.recent[0][0] < now - RECENT_SECONDS:
            _, old = self.recent.popleft()
            if self.followed:
                self.followed.difference_update(int(operation[1]) for operation in old if operation[0] in TAKES_OUT)

    def unknown_to(self, inflight: dict[int, bytes]) -> list[tuple[int, bytes]]:
        """What is in this worker's hands, or just leaving them, and not in the in-flight set: (tag, stored message)."""
        mine = {**self.left, **self.leaving, **self.messages}
        return [
            (tag, stored(taken.step, taken.queue, taken.message)) for tag, taken in sorted(mine.items()) if tag not in inflight
        ]

    def say_again(self) -> None:
        """Redis has lost its last moments: the finals that were told in them are told again.

        Not of what something follows: it may have been lost with them, so that the body must run again.
        """
        again: list[Operation] = [
            ("X", *operation[1:])
            for _, batch in self.recent
            for operation in batch
            if operation[0] == "F" and operation[3] and int(operation[1]) not in self.followed
        ]
        self.recent.clear()
        self.outbox = again + self.outbox

    def resumed(self, inflight: dict[int, bytes]) -> list[Taken]:
        """After a lost connection: settle what the lost call did, from the in-flight set itself.

        Removals whose message is gone were carried out; the rest is said again. Messages nobody here knows were taken by
        the lost call: they are adopted and returned. One whose final is told again is not: it had been given back and taken
        anew in what Redis lost, so that it is in flight under its earlier tag, and leaves with its final.
        """
        pending = [op for op in self.unanswered if op[0] not in TAKES_OUT or int(op[1]) in inflight]
        self.outbox = pending + self.outbox
        self.unanswered = []
        self.leaving, self.left = {**self.left, **self.leaving}, {}
        leaving = {int(op[1]) for op in self.outbox if op[0] in TAKES_OUT or op[0] == "X"}
        again = {str(op[4]): number for number, op in enumerate(self.outbox) if op[0] == "X" and op[4]}
        adopted = []
        for tag in sorted(inflight):
            self.next_tag = max(self.next_tag, tag + 1)
            if tag in self.messages or tag in leaving or inflight[tag] == HANDED_ON:
                continue
            number = again.pop(_delivery(inflight[tag]), None) if again else None
            if number is None:
                adopted.append(self._hold(tag, inflight[tag]))
            else:
                self.outbox[number] = ("X", tag, *self.outbox[number][2:])
        return adopted

    def _hold(self, tag: int, value: bytes) -> Taken:
        step, queue, message = unstored(value)
        taken = self.messages[tag] = Taken(tag, step, queue, message)
        self.waiting.append(tag)
        return taken


def _delivery(value: bytes) -> str:
    """The delivery tag of a stored message; empty where it has none that can be read."""
    try:
        return str(json.loads(unstored(value)[2])["properties"]["delivery_tag"])
    except (ValueError, KeyError, TypeError):
        return ""
