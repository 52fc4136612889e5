"""The conversation between a worker and Redis: one call gives back what ended and takes what may start next.

A call is sent when a slot is free and messages may be there (`attention` says when), or when something that ended has waited
`FLUSH_SECONDS`. An idle worker sends one call a second. Redis may go away at any time: what is to be said waits, and what a
lost call did is read back from the in-flight set.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable
from typing import Any

import hiredis
import redis

from windrow.broker.attention import DRAINED, LISTENER, Attention
from windrow.broker.inflight import InFlight, Taken
from windrow.broker.keys import Keys
from windrow.broker.registration import Gone, Registration
from windrow.broker.scripts import load
from windrow.broker.wire import Wire

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 0.008
LOOK_SECONDS = 1.0
LOOK_SECONDS_UNTRACKED = 0.1
"""How often a worker looks that no push can reach. With tracking forbidden that is the queue's listener alone, the others have
their bells; with RESP2 it is each. Second connections that block (BLMOVE of a list onto itself, one for each priority) were not
worth it: every Redis that Windrow supports speaks RESP3."""
ALONE, CLEARING = 1, 2
OVERDUE_SECONDS = 5.0
"""A call that is not answered for so long is given up with its connection."""
SILENT_SECONDS = 0.25
"""While a call has waited so long for its answer, nothing more is started: others may be given what this worker holds."""
STALE_SECONDS = 0.03
"""What was taken ahead and does not start for so long goes back to its queue."""
TAGS = 1_000_000_000
"""Messages that one process takes are fewer than this: no tag is given again by the process after it."""
RETRY_SECONDS = (0.2, 0.5, 1.0)


class Taker:
    """Takes messages of one queue for one worker and says what became of them."""

    def __init__(
        self,
        *,
        make_connection: Callable[[int], redis.Connection],
        keys: Keys,
        worker: str,
        queue: str,
        info: str,
        slots: int,
        on_revoked: Callable[[], None] = lambda: None,
        on_killed: Callable[[int, int, bool], None] = lambda tag, count, lost: None,
        on_gone: Callable[[], None] = lambda: None,
        on_idle: Callable[[], None] = lambda: None,
        on_hand_back: Callable[[], None] = lambda: None,
        on_double: Callable[[Taken], None] = lambda taken: None,
        on_restored: Callable[[], None] = lambda: None,
        on_drain: Callable[[bool], None] = lambda drained: None,
        generation: int = 0,
    ) -> None:
        """`generation` tells the processes apart that serve one worker one after the other."""
        self.inflight = InFlight(slots, next_tag=generation * TAGS + 1)
        self.worker, self.queue, self.keys = worker, queue, keys
        self._registration = Registration(
            make_connection=make_connection, keys=keys, worker=worker, info=info, generation=generation
        )
        self._on_revoked, self._on_killed, self._on_gone, self._on_idle = on_revoked, on_killed, on_gone, on_idle
        self._on_hand_back, self._on_double, self._on_restored = on_hand_back, on_double, on_restored
        self._on_drain = on_drain
        self._deliver: Callable[[Taken], None] | None = None
        self._hub: Any = None
        self._wire: Wire | None = None
        self._sent_at: float | None = None
        self._attention = Attention((keys.epochs, keys.inflight(worker), keys.held, keys.spent))
        self._oldest_said: float | None = None
        self._flushing = False
        self._stale_check = False
        self._last_delivery = 0.0
        self._pumping = False
        self._stopping = False
        self._revoked_version = b"0"
        self._failures = 0
        self._attached = 0
        self._polling = False
        self._sync = load("sync")
        self.sync_keys = keys.of_sync(worker, queue)
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    # --- what the worker calls -------------------------------------------------------------------------------------------

    def attach(self, hub: Any) -> None:
        """Run on kombu's event loop `hub` from now on; again, when Celery has emptied it after a lost connection."""
        self._hub = hub
        self._flushing = self._stale_check = False
        if self._wire is not None:
            self._wire.close()
            self._wire = None
        self._sent_at = None
        hub.add_reader(self._wake_read, self._woken)
        self._attention.forget()
        self._polling = False
        self._attached += 1
        hub.call_later(LOOK_SECONDS, self._tick, self._attached)
        self._connect()

    def consume(self, deliver: Callable[[Taken], None]) -> None:
        """Take messages from now on and give each to `deliver` when a slot is free."""
        self._deliver = deliver
        self._attention.look()
        self._pump()

    def rest(self) -> None:
        """Take nothing until `consume` is called again, and hand back what was taken and not started."""
        self._deliver = None
        self._attention.look()
        self.inflight.give_back_waiting()
        self._on_hand_back()
        self._pump()

    def stop_taking(self) -> None:
        """Take nothing more, and hand back what was taken and not started. Safe in a signal handler."""
        self._stopping = True
        self.wake()

    @property
    def idle(self) -> bool:
        """True when nothing is in flight here and everything said was answered."""
        return not (self.inflight.messages or self.inflight.outbox or self.inflight.unanswered or self._attention.role)

    def say(self, *operation: str | bytes | int) -> None:
        """Say something about a message (an operation of the `sync` script); it leaves within 20 ms."""
        now = time.monotonic()
        self.inflight.say(*operation, now=now)
        if operation[0] in ("G", "K"):
            self._attention.pushes()
        if self._oldest_said is None:
            self._oldest_said = now
        self._pump()

    def wake(self) -> None:
        """Look at once; safe in signal handlers and other threads."""
        try:
            os.write(self._wake_write, b"!")
        except BlockingIOError:
            return  # a wake-up is waiting already

    # --- the event loop --------------------------------------------------------------------------------------------------

    def _woken(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        self._attention.look()
        self._pump()

    def _tick(self, attached: int) -> None:
        """The net under the wake-ups: a look a second after the last one, never all workers at the same moment."""
        if attached != self._attached:
            return
        now = time.monotonic()
        if self._sent_at is not None and now - self._sent_at > OVERDUE_SECONDS:
            self._lost(redis.ConnectionError(f"Redis did not answer for {OVERDUE_SECONDS:g} s"))
        rest = self._attention.looked_at + LOOK_SECONDS - now
        if rest < LOOK_SECONDS / 10:
            rest = LOOK_SECONDS * random.uniform(0.85, 1.0)  # noqa: S311 - no secret
            self._look_again()
        self._hub.call_later(rest, self._tick, attached)

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            if self._stopping:
                if self.inflight.waiting:
                    self.inflight.give_back_waiting()
                self._on_hand_back()
            self._deliver_waiting()
            self._maybe_send()
            if self._stopping and self.idle:
                self._on_idle()
        finally:
            self._pumping = False

    def _deliver_waiting(self) -> None:
        now = time.monotonic()
        silent = self._wire is None or (self._sent_at is not None and now - self._sent_at > SILENT_SECONDS)
        if self._deliver is None or silent:
            return
        while (taken := self.inflight.next(now)) is not None:
            self._last_delivery = now
            self._deliver(taken)
        if self.inflight.waiting and not self._stale_check and self._hub is not None:
            self._stale_check = True
            self._hub.call_later(STALE_SECONDS, self._check_stale)

    def _check_stale(self) -> None:
        self._stale_check = False
        if self.inflight.waiting and time.monotonic() - self._last_delivery > STALE_SECONDS * 0.9:
            self.inflight.give_back_waiting()
            self._oldest_said = 0.0
            self._attention.pushes()
        self._pump()

    def _maybe_send(self) -> None:
        if self._wire is None or self._sent_at is not None or self._hub is None:
            return
        now = time.monotonic()
        inflight = self.inflight
        resting = self._stopping or self._deliver is None
        wanted = 0 if resting else inflight.wanted
        asks = self._attention.must_look(inflight, wanted, now, resting=resting)
        takes = asks and (resting or len(inflight.waiting) <= (inflight.ahead - inflight.handed) // 2)
        due = bool(inflight.outbox) and (self._oldest_said is None or now - self._oldest_said >= FLUSH_SECONDS)
        if takes or due or (self._stopping and inflight.outbox):
            self._send(self._wire, wanted if asks else -1, now)
        elif inflight.outbox and not self._flushing:
            self._flushing = True
            self._hub.call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._flushing = False
        self._pump()

    def _send(self, wire: Wire, wanted: int, now: float) -> None:
        arguments: list[str | bytes | int] = [
            self.worker, self._registration.epoch, int(time.time() * 1000), self.queue, wanted, self.inflight.next_tag,
            self.keys.prefix, self._hears(wire),
        ]  # fmt: skip
        for operation in self.inflight.batch():
            arguments.extend(operation)
        if wanted >= 0:
            self._attention.looks(wanted, self.inflight.idle_slots, now)
        self._oldest_said = None
        self._sent_at = now
        try:
            wire.send("EVALSHA", self._sync.sha, len(self.sync_keys), *self.sync_keys, *arguments)
        except redis.ConnectionError as error:
            self._lost(error)

    def _hears(self, wire: Wire) -> str:
        """How this worker hears of the next message, as the `sync` script has it."""
        if not wire.pushes:
            return ""
        return self._attention.says(self.inflight.idle_slots, resting=self._stopping or self._deliver is None)

    def _readable(self) -> None:
        if self._wire is None:
            return
        try:
            for reply in self._wire.replies():
                if isinstance(reply, hiredis.PushNotification):
                    self._attention.hear(reply)
                elif isinstance(reply, Exception):
                    raise redis.ConnectionError(f"Redis refused a call: {reply}")
                else:
                    self._answer(reply)
        except redis.ConnectionError as error:
            self._lost(error)
        self._pump()

    def _answer(self, reply: list[Any]) -> None:
        self._sent_at = None
        if reply[0] == 0:
            # Unknown to Redis: forgotten with the data of a new server, or declared dead. `resume` tells which.
            self._lost(redis.ConnectionError("Redis does not know this worker"))
            return
        _, refused, taken, drain, version, next_look, limited, killed, what, doubles, alone, copies, allowed = reply
        self.inflight.answered(time.monotonic())
        if refused:
            logger.warning("%d finishes were refused: their messages had been given to another worker", len(refused))
        if version and version != self._revoked_version:
            self._revoked_version = version
            self._on_revoked()
        if copies:
            logger.warning("%d messages were thrown away: exact copies of such that are in flight or have ended", copies)
        first = self.inflight.next_tag
        self.inflight.take(taken)
        for place in doubles:
            self._on_double(self.inflight.messages[first + place - 1])
        if taken and any(operation[0] == "G" for operation in self.inflight.outbox):
            self.inflight.give_back_waiting()  # older ones are about to go back: these must not overtake them
        if what >= 0:
            self._on_drain(drain == DRAINED)
            self.inflight.clearing = alone == CLEARING
            self.inflight.alone = first if alone == ALONE else self.inflight.alone
            self._attention.answered(what, len(taken), allowed, drain, self.inflight)
            self._poll_if_deaf()
            if alone == CLEARING:
                self.inflight.give_back_waiting()
                self._on_hand_back()
            if alone == ALONE:
                self._attention.look()
        if next_look > 0 and self._hub is not None:
            if limited:
                self._attention.wait(time.monotonic() + next_look / 1000)
            self._hub.call_later(next_look / 1000 + 0.001, self._look_again)
        for tag, count, lost in killed:
            self._on_killed(int(tag), int(count), bool(lost))

    def _poll_if_deaf(self) -> None:
        deaf = self._wire is not None and not (self._wire.tracking if self._attention.role == LISTENER else self._wire.pushes)
        if deaf and not self._polling and self._hub is not None:
            self._polling = True
            self._hub.call_later(LOOK_SECONDS_UNTRACKED, self._poll)

    def _poll(self) -> None:
        self._polling = False
        self._look_again()

    def _look_again(self) -> None:
        self._attention.look_again()
        self._pump()

    # --- connecting ------------------------------------------------------------------------------------------------------

    def _lost(self, error: Exception) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            if self._hub is not None:
                self._hub.remove(wire.fileno())
            wire.close()
        self._sent_at = None
        self._attention.forget()
        self._on_hand_back()
        delay = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        logger.warning("%s; trying again in %g s, running tasks go on", error, delay)
        if self._hub is not None:
            self._hub.call_later(delay, self._connect)

    def _connect(self) -> None:
        if self._wire is not None or self._hub is None:
            return
        try:
            wire, adopted, lost = self._registration.connect(self.inflight, self._sync)
        except Gone:
            logger.critical("this worker (%s) was declared dead and its messages were given to others; it stops", self.worker)
            self._on_gone()
            return
        except (redis.RedisError, OSError) as error:
            self._lost(error)
            return
        if self._failures:
            logger.info("Redis is back")
        self._failures = 0
        for taken in adopted:
            logger.info("message %d of %s was taken by a call whose answer was lost", taken.tag, taken.queue)
        if lost:
            self._on_restored()
        self._wire = wire
        self._attention.look()
        self._hub.add_reader(wire.fileno(), self._readable)
        self._pump()
