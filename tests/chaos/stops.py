"""Faults of the orderly kind: signals that ask a worker to end, and the kernel holding one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tests.chaos.faults import busiest, pick
from tests.chaos.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.rows import Row


def terminate(stage: Stage, row: Row, group: bool = False, grace: float = 30.0) -> None:
    """SIGTERM to a busy worker's main process, or to its whole process group; it must end by itself within `grace`."""
    for _ in range(row.blows):
        time.sleep(stage.dice.uniform(0.1, 1.0))
        victim = pick(stage)
        stage.worker(victim.kind)
        stage.struck += 1
        if group:
            os.killpg(victim.process.pid, signal.SIGTERM)
        else:
            victim.process.send_signal(signal.SIGTERM)
        try:
            victim.process.wait(grace)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"a worker must end within {grace:g} s of SIGTERM, its tasks being shorter") from error


def exceed_grace(stage: Stage, row: Row) -> None:
    """SIGTERM, and before the tasks have ended a second one, or SIGKILL to all its processes as when the grace is over."""
    for _ in range(row.blows):
        time.sleep(stage.dice.uniform(0.1, 1.0))
        victim = pick(stage)
        stage.worker(victim.kind)
        victim.process.send_signal(signal.SIGTERM)
        time.sleep(stage.dice.uniform(0.05, 0.6))
        tree = victim.tree()
        if stage.dice.random() < 0.5:
            stage.doom(tree)
            with suppress(ProcessLookupError):
                victim.process.send_signal(signal.SIGTERM)
            victim.process.wait(15)
        else:
            stage.kill(tree)


def freeze(stage: Stage, row: Row, seconds: float, whole: bool) -> None:
    """SIGSTOP to a worker's main process, or to all of them, and SIGCONT after `seconds`; one that then ends is replaced."""
    for _ in range(row.blows):
        victim = busiest(stage)
        tree = victim.tree()
        held = tree if whole else tree[:1]
        stage.struck += 1
        began = time.monotonic()
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(seconds)
        ended = time.monotonic()
        stage.frozen += [(pid, began, ended) for pid in held]
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        stage.worker(victim.kind, wait=False)
        stage.until(partial(_over, stage, ended, 2.0), 10, "two seconds pass")


def _over(stage: Stage, since: float, seconds: float) -> bool:
    return time.monotonic() - since > seconds
