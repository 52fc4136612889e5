"""The guard: the main process of a worker whose tasks run in its own process (pools `threads` and `asyncio`).

A process can't end one of its threads, nor a coroutine that holds the loop; and what keeps the interpreter busy would starve a
lease kept by a thread beside it. So the worker runs in a child, and this small process keeps its lease, watches the
deadlines on the board that they share, and replaces the child: past a hard limit, when it dies, when it has run its number of
tasks. The worker's name in Redis, its lease and its in-flight set stay; what the old child had taken is settled before the new
one starts.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, NoReturn

import redis
from celery.platforms import set_pdeathsig

from windrow.broker.client import Client
from windrow.broker.fence import FENCED, Fence
from windrow.broker.lease import LeaseKeeper
from windrow.metrics.catalogue import RecycleReason
from windrow.worker.board import Board, Overdue
from windrow.worker.port import Port
from windrow.worker.probes import Probes, Vitals
from windrow.worker.relay import Relay
from windrow.worker.settle import Past, leave, settle
from windrow.worker.usage import ended_peak

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
RECYCLED: Final[Mapping[RecycleReason, int]] = {"tasks": 75, "memory": 76}
"""The child's exit code when it has run its number of tasks, or holds more than its memory, and has drained."""
_REASONS: Final = {code: reason for reason, code in RECYCLED.items()}
QUICK_SECONDS = 5.0
MOST_QUICK = 5
"""So many children that end by themselves and without a task within `QUICK_SECONDS`, one after the other, end the worker."""


@dataclass(frozen=True)
class Keeping:
    """What a process keeps its worker's lease with."""

    client: Client
    """A client that waits no longer than a beat's answer may take."""
    fence: Fence


@dataclass(frozen=True)
class Guarded:
    """What a guarded worker process gets from its guard."""

    worker: str
    """The worker's id, the same for every child."""
    pid: int
    """The guard's process id: the one that people and supervisors know."""
    board: Board
    vitals: Vitals
    relay: Relay
    generation: int
    overdue: Mapping[int, Overdue] = field(default_factory=dict)
    """Tasks of the last child that overran their hard limits, by tag: they are to be ended, not run."""
    recycles: Mapping[RecycleReason, int] = field(default_factory=dict)
    """How many earlier children were replaced for each reason: each child's metrics begin anew, these go on."""


class Guard:
    """Runs worker processes one after the other."""

    def __init__(
        self, *, worker: str, queue: str, places: int, max_recoveries: int, client: Client, keeping: Keeping, port: Port,
        serve: Callable[[Guarded], int],
    ) -> None:  # fmt: skip
        """`serve` is the worker; it runs in a forked child, so no thread may have been started before `run`.

        `port` is answered by this process, so that it is the same for every child.
        """
        self._worker, self._queue, self._most, self._client, self._serve = worker, queue, max_recoveries, client, serve
        self._board = Board(places)
        self._lease = LeaseKeeper(keeping.client, worker, self._beat, self._declared_dead, keeping.fence)
        self._port, self._vitals = port, Vitals()
        self._child = 0
        self._peak: int | None = None
        """What the last child held since the last attempt began in it, in bytes."""
        self._recycles: Counter[RecycleReason] = Counter()
        self._signals: list[int] = []
        self._asked = 0
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> int:
        """Serve until a signal, or until a child ends for a reason that the next would have too; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        generation, quick = 0, 0
        overdue: dict[int, Overdue] = {}
        while True:
            began = time.monotonic()
            self._vitals.turn()  # the last child's loop may have stood still, under a task
            self._board.clear()
            self._start(generation, overdue)
            code, late = self._watch()
            self._relay.close()
            if self._ends(code, late, generation):
                return self._end(code, generation + 1)
            recycled = code in _REASONS
            if recycled:
                self._recycles[_REASONS[code]] += 1
            # What ran when it died may be to blame, and is counted; only a process that dies without a task can't live.
            blameless = late or recycled or self._board.running() or time.monotonic() - began >= QUICK_SECONDS
            quick = 0 if blameless else quick + 1
            generation += 1
            overdue = {one.tag: one for one in late}
            past = Past.RECYCLED if recycled else Past.REPLACED if late else Past.DIED
            self._settle(generation, past, overdue)
            if quick >= MOST_QUICK:
                logger.error("%d worker processes ended within %g s of their start; the worker ends", quick, QUICK_SECONDS)
                return self._end(code, generation + 1)
            logger.warning("the worker's process was %s; the next one starts", past.value)

    def _ends(self, code: int, late: list[Overdue], generation: int) -> bool:
        if late:
            return False
        if code in (0, FENCED) or self._asked:
            return True
        return not self._board.is_ready and generation == 0

    def _end(self, code: int, generation: int) -> int:
        """The last child has ended: give back what it left, if it was told to end and did not do so itself."""
        self._lease.stop()
        if code in (0, FENCED) or not self._signals:
            return code
        try:
            settle(self._client, self._worker, self._queue, generation, Past.STOPPED, self._board, {}, self._most, self._peak)
            leave(self._client, self._worker)
        except (redis.RedisError, OSError) as error:
            logger.warning("could not give back what was taken; it goes back when the lease ends: %s", error)
        return 0

    # --- the child -------------------------------------------------------------------------------------------------------

    def _start(self, generation: int, overdue: Mapping[int, Overdue]) -> None:
        relay = self._relay = Relay()
        guarded = Guarded(self._worker, os.getpid(), self._board, self._vitals, relay, generation, overdue, self._recycles)
        with self._lease.quiet(), self._port.quiet():  # no lock of a thread may be held in the child for ever
            self._child = os.fork()
        if self._child == 0:
            self._port.forget()
            _become_worker(self._serve, guarded)
        relay.keep()
        self._asked = 0
        """How many of the signals the child has heard of."""
        if generation == 0:
            self._lease.start()
            probes = Probes(
                vitals=self._vitals,
                stopping=lambda: bool(self._signals),
                answered_since=lambda: self._lease.answered_since,
                at_work=lambda: bool(self._board.running()),
            )
            self._port.start(probes, lambda asked: self._relay.page(asked))

    def _watch(self) -> tuple[int, list[Overdue]]:
        """Until the child has ended: its exit code, and what it was killed for."""
        while True:
            readable, _, _ = select.select([self._read], [], [], LOOK_SECONDS)
            if readable:
                os.read(self._read, 4096)
            self._pass_signals()
            late = self._board.overdue(time.monotonic())
            if late:
                for one in late:
                    logger.error("a task is past its hard limit of %g s and does not end; its process is replaced", one.limit)
                os.kill(self._child, signal.SIGKILL)
                _, _, usage = os.wait4(self._child, 0)
                self._peak = ended_peak(usage)
                return -signal.SIGKILL, [replace(one, peak=self._peak) for one in late]
            pid, status, usage = os.wait4(self._child, os.WNOHANG)
            if pid:
                self._peak = ended_peak(usage)
                return os.waitstatus_to_exitcode(status), []

    def _pass_signals(self) -> None:
        """The first signal is the child's, which drains; at the second it is ended, and what it ran goes back."""
        if self._signals and not self._asked:
            os.kill(self._child, signal.SIGTERM)
        elif len(self._signals) > 1 and self._asked < len(self._signals):
            os.kill(self._child, signal.SIGKILL)
        self._asked = len(self._signals)

    def _settle(self, generation: int, past: Past, overdue: Mapping[int, Overdue]) -> None:
        while True:
            try:
                settle(self._client, self._worker, self._queue, generation, past, self._board, overdue, self._most, self._peak)
            except (redis.RedisError, OSError) as error:
                logger.warning("what the ended process had taken can't be settled yet: %s", error)
                if len(self._signals) > 1:
                    os._exit(0)  # the lease lapses, and recovery settles it
                time.sleep(0.2)
            else:
                return

    # --- signals and the lease -------------------------------------------------------------------------------------------

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals.append(number)

    def _beat(self) -> dict[str, object]:
        said = self._board.figures()
        return {"busy": said.busy, "taken": said.taken, "done": said.done, "run": said.run}

    def _declared_dead(self) -> None:
        logger.error("the lease was lost; running tasks are ended, because others start them again")
        if self._child:
            os.kill(self._child, signal.SIGKILL)
        os._exit(FENCED)


def _become_worker(serve: Callable[[Guarded], int], guarded: Guarded) -> NoReturn:
    os.setsid()  # Ctrl-C reaches a terminal's whole group; the guard hands on what it gets
    set_pdeathsig("SIGKILL")
    if os.getppid() != guarded.pid:
        os._exit(FENCED)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    code: Any = 1
    try:
        code = serve(guarded)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        logger.exception("the worker's process failed")
    finally:
        logging.shutdown()
        os._exit(code)
