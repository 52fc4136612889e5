"""The row `idle_latency`: from a call to its start on idle workers of one slot, and what a call costs Redis meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import redis

from benchmarks import waits
from benchmarks.fleet import fleet, noted
from benchmarks.sides import BARE, WINDROW
from benchmarks.stack import ROOT, Stack, until

CALLS, PER_SECOND = 200, 5.0
SIDES = (replace(BARE[0], pool="threads", slots=1), replace(WINDROW, pool="threads", slots=1))
ECHO = """
import sys, time, redis
client = redis.Redis.from_url(sys.argv[1])
for _ in range(int(sys.argv[2])):
    _, at = client.blpop("bench:echo")
    print(time.monotonic() - float(at), flush=True)
"""

Figures = dict[str, list[float]]


def commands(client: redis.Redis) -> tuple[int, int]:
    """Commands that Redis has carried out: in all, those inside scripts among them; and scripts run."""
    stats: dict[str, Any] = client.info("commandstats")
    scripts = sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "eval"))
    return sum(each["calls"] for each in stats.values()), scripts


def turn(stack: Stack, number: int, calls: int) -> tuple[Figures, Figures]:
    """One turn of each side with so many idle workers, and Windrow's idle span before it: (bare's, Windrow's)."""
    found: dict[str, Figures] = {}
    for side in SIDES:
        with fleet(stack, side, number):
            counts = [commands(stack.client)]
            if side.producer == "windrow":
                time.sleep(calls / PER_SECOND)
                counts.append(commands(stack.client))
            waits.call(stack, side.producer, "steady", calls, PER_SECOND)
            counts.append(commands(stack.client))
            until(lambda: len(waits.read(noted(stack))) >= calls, 30, "all have run")
            waited = [wait * 1000 for wait, _ in waits.read(noted(stack))]
        figures = {"p50": [waits.quantile(waited, 0.5)], "p99": [waits.quantile(waited, 0.99)]}
        if len(counts) == 3:
            idle, busy = ([b - a for a, b in zip(counts[n], counts[n + 1], strict=True)] for n in (0, 1))
            figures["commands"] = [(busy[0] - idle[0]) / calls]
            figures["scripts"] = [(busy[1] - idle[1]) / calls]
            figures["idle_commands_per_s"] = [idle[0] / (calls / PER_SECOND)]
        found[side.producer] = figures
    return found["bare"], found["windrow"]


def echo(stack: Stack, calls: int) -> Figures:
    """What waking a process costs here: a bare blocked pop, and nothing else."""
    command = [sys.executable, "-c", ECHO, stack.redis_url, str(calls)]
    client = stack.client
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        until(lambda: client.info("clients")["blocked_clients"] >= 1, 20, "the echo waits", child)
        for _ in range(calls):
            time.sleep(0.05)
            client.lpush("bench:echo", str(time.monotonic()))
        out, _ = child.communicate(timeout=20)
    waited = [float(line) * 1000 for line in out.split()]
    return {"p50": [waits.quantile(waited, 0.5)], "p99": [waits.quantile(waited, 0.99)]}


def turns(stack: Stack, rounds: int, say: Callable[[str], None], calls: int = CALLS) -> dict[str, Figures]:
    """Figures by who and how many: `bare 1`, `windrow 1`, `bare 20`, `windrow 20` and `echo`; waits in ms."""
    found: dict[str, Figures] = defaultdict(lambda: defaultdict(list))

    def add(who: str, figures: Figures) -> None:
        for name, values in figures.items():
            found[who][name] += values
        say(f"idle_latency: {who}: " + ", ".join(f"{name} {values[-1]:.2f}" for name, values in figures.items()))

    for _ in range(rounds):
        add("echo", echo(stack, calls))
        for number in (1, 20):
            bare, windrow = turn(stack, number, calls)
            add(f"bare {number}", bare)
            add(f"windrow {number}", windrow)
    return {who: dict(figures) for who, figures in found.items()}
