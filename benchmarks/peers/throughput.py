"""Tasks a second of each peer, turn by turn on an empty Redis: the same clock and counter as `make bench`."""

from __future__ import annotations

import os
import subprocess

from benchmarks import counter, measure
from benchmarks.measure import Turn
from benchmarks.peers.contestants import Peer, worker_log
from benchmarks.stack import ROOT, Stack, process, until

CLEAR = """do $$ begin
  if to_regclass('procrastinate_jobs') is not null then truncate procrastinate_jobs, procrastinate_workers cascade; end if;
end $$"""


def publish(stack: Stack, peer: Peer, task: str, count: int, environment: dict[str, str], first: int = 0) -> None:
    """Publish from a process of the peer's own Python; raises RuntimeError with its output when that fails."""
    command = [os.fspath(peer.interpreter()), "-m", "benchmarks.peers.publish", peer.module, task, str(count), str(first)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{peer.name} must publish {count} tasks, it ended with {done.returncode}: {done.stderr[-2000:]}")


def turn(stack: Stack, peer: Peer, kind: str, count: int) -> Turn:
    """One turn: `count` tasks are published, then one worker does them."""
    stack.client.flushall()
    stack.execute(CLEAR)
    counter.reset(stack.counter)
    environment = stack.environment(peer.ways[kind].environment)
    with peer.services(stack) as services:
        publish(stack, peer, kind, count, environment)
        platform = [stack.redis_pid(), stack.postgres_pid(), *services]
        with process(peer.command(stack, kind), environment, worker_log(stack, peer)) as worker:
            counter.wait(stack.counter, count // 10, 60)
            first = measure.read(stack.client, worker.pid, platform)
            begun = stack.counter.stat().st_size
            counter.wait(stack.counter, count, 120)
            last = measure.read(stack.client, worker.pid, platform)
            if services:
                until(lambda: stack.client.xlen("windrow:events") == 0, 60, "the records are written")
            settled = measure.read(stack.client, worker.pid, platform)
            return measure.between(first, last, settled, count - begun)
