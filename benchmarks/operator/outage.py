"""Redis goes away, from nought and from many workers, and comes back."""

from __future__ import annotations

import time

from benchmarks.operator.report import Row, least, most
from benchmarks.operator.stage import Stage
from tests.waiting import wait_until

FALLBACK = 2
MANY = 20


def redis_away(stage: Stage) -> Row:
    """One queue at nought goes to its fallback; one with 20 workers keeps each; then both go on by themselves."""
    away = 40.0 if stage.quick else 600.0
    nought = stage.queueworker("nought", maxReplicas=5, fallbackReplicas=FALLBACK, scaleDownWindow="5s")
    many = stage.queueworker("many", maxReplicas=MANY, fallbackReplicas=FALLBACK, scaleDownWindow="5s")
    stage.publish(many, MANY, 20.0)
    wait_until(lambda: stage.in_flight(many) == (MANY, 0), 60, f"{MANY} are busy")
    since = time.time()
    server = stage.redis.process
    assert server is not None
    server.kill()
    server.wait()
    gone = time.monotonic()
    fell_back = stage.eyes.reached(nought.name, FALLBACK, gone, 60) - gone
    lowest, highest = MANY, 0
    while time.monotonic() < gone + away:
        lowest = min(lowest, stage.eyes.replicas[many.name][-1][1])
        highest = max(highest, stage.eyes.replicas[nought.name][-1][1])
        time.sleep(0.2)
    told = [line for line in stage.agent.record("terminating", since=since) if line["name"] in (nought.name, many.name)]
    stage.redis.revive()
    stage.redis.ready()
    back = time.monotonic()
    stage.publish(nought, 1, 0.1)
    wait_until(lambda: stage.in_flight(nought) == (0, 0), 60, "what is published runs")
    again = time.monotonic() - back
    wait_until(lambda: not stage.eyes.there(nought.name) + stage.eyes.there(many.name), 120, "both are at nought", pause=0.5)
    at_nought = time.monotonic() - back
    removed = stage.agent.busy_removed(since=since)
    stage.clear(nought, many)
    return Row(
        "redis_away",
        f"Redis away for {away:g} s, from zero and from {MANY} replicas",
        (
            least("replicas from zero (the fallback)", highest, FALLBACK),
            most("replicas from zero", highest, FALLBACK),
            least(f"replicas of {MANY} all the time", lowest, MANY),
            most("pods told to end meanwhile", len(told), 0),
            most("busy pods removed", len(removed), 0),
            most("s after its return until both are at zero by themselves", at_nought, 60.0),
        ),
        {"fallback_after_s": fell_back, "runs_again_after_s": again, "away_s": away},
        f"the fallback after {fell_back:.1f} s" + ("; A SHORT RUN, the real one is 600 s" if stage.quick else ""),
    )
