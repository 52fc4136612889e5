"""Inhibition: one cause pages once. Only a page silences a page: a ticket that silenced one would let people sleep on."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.monitoring.alerts import ALERTS

BROKER, LEADER, DATABASE = "WindrowRedisAway", "WindrowNoLeader", "WindrowDatabaseAway"


@dataclass(frozen=True)
class Inhibition:
    """While `source` fires, `targets` notify nobody; of the same queue, or of the whole installation."""

    source: str
    targets: tuple[str, ...]
    same_queue: bool
    why: str


def _all_but(*names: str) -> tuple[str, ...]:
    return tuple(alert.name for alert in ALERTS if alert.name not in names)


def _budget(objective: str) -> tuple[Inhibition, ...]:
    fast, slow, ticket = (f"Windrow{objective}Budget{speed}" for speed in ("Fast", "Slow", "Ticket"))
    why = "the same budget, spent at a speed that matters more"
    return Inhibition(fast, (slow, ticket), True, why), Inhibition(slow, (ticket,), True, why)


_STARTS = ("WindrowStartBudgetFast", "WindrowStartBudgetSlow", "WindrowStartBudgetTicket")

INHIBITIONS: tuple[Inhibition, ...] = (
    Inhibition(BROKER, _all_but(BROKER), False, "without Redis nothing else can be told"),
    Inhibition(LEADER, _all_but(BROKER, LEADER), False, "the leader's figures stand still or are missing"),
    Inhibition(
        DATABASE,
        ("WindrowRecordsNotWritten", "WindrowPartitionHorizon", "WindrowFiguresApart"),
        False,
        "records wait for the database",
    ),
    Inhibition("WindrowRecordsNotWritten", ("WindrowFiguresApart",), False, "exact figures stand still"),
    Inhibition("WindrowOperatorLeader", ("WindrowWorkersMissing",), False, "nobody makes workers"),
    Inhibition(
        "WindrowWorkersCrashLooping",
        ("WindrowQueueStalled", "WindrowWorkersMissing", "WindrowAtMaxReplicas", *_STARTS),
        True,
        "workers that crash start nothing",
    ),
    Inhibition(
        "WindrowQueueStalled",
        ("WindrowWorkersMissing", "WindrowAtMaxReplicas", *_STARTS),
        True,
        "what does not start at all starts late",
    ),
    *_budget("Success"),
    *_budget("Start"),
    Inhibition("WindrowSuccessBudgetFast", ("WindrowRetryStorm",), True, "what fails is tried again first"),
)
