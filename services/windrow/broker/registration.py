"""A worker's connections to Redis: each begins by saying who is there, and by settling what became of the last one.

Redis may have lost what it did last, or everything: then the worker puts back what it holds, before anybody takes anything.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import redis

from windrow.broker import events
from windrow.broker.inflight import InFlight, Taken
from windrow.broker.keys import Keys
from windrow.broker.scripts import Script, load
from windrow.broker.wire import Wire

logger = logging.getLogger(__name__)

SETTLE_SECONDS = 3.0
"""After Redis has lost data nobody takes anything for so long: every worker is back by then and has said what it holds."""
GENERATION = 1_000_000
"""Connections of one process are fewer than this: their numbers differ from those of the process before it."""
GONE, LOST_DATA = 0, 2
"""What `resume` answers to a worker that was declared dead, and while workers put back what Redis has lost."""


class Gone(Exception):
    """This worker was declared dead; its messages were given to others and nothing it says counts any more."""


class Registration:
    """Makes a worker's connections, one after the other."""

    def __init__(
        self, *, make_connection: Callable[[int], redis.Connection], keys: Keys, worker: str, info: str, generation: int
    ) -> None:
        """`info` is what others may know of the worker; `generation` tells apart the processes that serve it in turn."""
        self._make_connection, self._keys, self._worker, self._info = make_connection, keys, worker, info
        self.epoch = generation * GENERATION
        """The number of the connection: a call of an older one is refused."""
        self._known = False

    def connect(self, inflight: InFlight, script: Script) -> tuple[Wire, list[Taken], bool]:
        """A connection that knows `script`, what a call whose answer was lost had taken, and whether Redis had lost data.

        Raises Gone, redis.RedisError and OSError.
        """
        wire = Wire(self._make_connection)
        try:
            wire.call("SCRIPT", "LOAD", script.text)
            wire.subscribe(self._keys.bell(self._worker))
            held, lost = self._resume(wire, inflight)
            wire.listen()
        except BaseException:
            wire.close()
            raise
        return wire, inflight.resumed(held), lost

    def _resume(self, wire: Wire, inflight: InFlight) -> tuple[dict[int, bytes], bool]:
        self.epoch += 1
        keys, known = self._keys, self._known
        names = [keys.epochs, keys.gone, keys.workers, keys.inflight(self._worker), keys.run, keys.settling]
        settle = [wire.run_id(), int(SETTLE_SECONDS * 1000), "1" if known else ""]
        answer = wire.call("EVAL", load("resume").text, len(names), *names, self._worker, self.epoch, self._info, *settle)
        if answer[0] == GONE:
            self._tell_refused(wire, inflight)
            raise Gone
        self._known = True
        held = {int(tag): value for tag, value in zip(answer[1::2], answer[2::2], strict=True)}
        if answer[0] != LOST_DATA or not known:
            return held, False
        inflight.say_again()
        lost = inflight.unknown_to(held)
        back = self._restore(wire, lost)
        logger.warning("Redis has lost data; of %d messages in hand that it lost, %d are back", len(lost), len(back))
        held.update((tag, value) for tag, value in lost if tag in back)
        return held, True

    def _restore(self, wire: Wire, lost: list[tuple[int, bytes]]) -> set[int]:
        keys = self._keys
        names = [keys.epochs, keys.inflight(self._worker), keys.held, keys.spent, keys.spent_before, keys.settling]
        values: list[Any] = [part for one in lost for part in one]
        return set(map(int, wire.call("EVAL", load("restore").text, len(names), *names, self._worker, self.epoch, *values)))

    def _tell_refused(self, wire: Wire, inflight: InFlight) -> None:
        """The ends that a worker has not told before it was declared dead are put on record as refused."""
        told = [str(op[2]) for op in inflight.unanswered + inflight.outbox if op[0] == "F" and op[2]]
        for first in range(0, len(told), 500):
            made = [events.refused(json.loads(text)) for text in told[first : first + 500]]
            fields = [part for pair in events.fields(*made).items() for part in pair]
            wire.call("XADD", self._keys.events, "*", *fields)
