"""What overspends an objective's budget: failures and late starts at chosen shares of all.

Targets are 95 %, so a share of 72 % burns a budget of 5 % at 14.4, 30 % at 6, 15 % at 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.drill import tasks
from tests.drill.cause import Act, Cause, expect
from tests.drill.stage import Stage

_WIDEST_S = 360.0
"""The short window of the slowest pair, six hours, by the factor 60: what it saw of the harm must have left it."""


def _failing(queue: str, every: int, of: int) -> Act:
    """Of so many calls some fail."""

    def calls(stage: Stage) -> Iterator[float]:
        number = 0
        while True:
            number += 1
            stage.producer.attempt(tasks.fail if number % of < every else tasks.work, queue)
            yield 0.1

    return lambda stage: stage.producer.stream(queue, partial(calls, stage))


def _late(queue: str, late: int, timely: int) -> Act:
    """In each round so many tasks stand behind a long one, and so many come when nothing is there."""

    def calls(stage: Stage) -> Iterator[float]:
        while True:
            stage.producer.attempt(tasks.work, queue, 2.0)
            yield 0.1
            for _ in range(late):
                stage.producer.attempt(tasks.work, queue, 0.0)
            yield 2.4
            for _ in range(timely):
                stage.producer.attempt(tasks.work, queue, 0.0)
                yield 0.1

    return lambda stage: stage.producer.stream(queue, partial(calls, stage))


def _well(queue: str) -> Act:
    """From now on all is well, and there is more of it than before."""
    return lambda stage: stage.producer.steady(queue, queue, 10.0)


def _budget(name: str, says: str, queue: str, alerts: tuple[str, ...], begin: Callable[[Stage], None]) -> Cause:
    first, *rest = alerts
    return Cause(name, says, expect([first], queue, silent=rest), begin, _well(queue), warm=queue, resolves_s=_WIDEST_S + 60.0)


def _alerts(objective: str) -> tuple[str, str, str]:
    return f"{objective}BudgetFast", f"{objective}BudgetSlow", f"{objective}BudgetTicket"


CAUSES = [
    _budget("success_fast", "nine tasks of ten fail", "success-fast", _alerts("Success"), _failing("success-fast", 9, 10)),
    _budget("success_slow", "half of the tasks fail", "success-slow", _alerts("Success")[1:], _failing("success-slow", 5, 10)),
    _budget(
        "success_ticket",
        "a fifth of the tasks fails",
        "success-ticket",
        _alerts("Success")[2:],
        _failing("success-ticket", 2, 10),
    ),
    _budget("start_fast", "nine of ten tasks start late", "start-fast", _alerts("Start"), _late("start-fast", 18, 1)),
    _budget("start_slow", "half of the tasks start late", "start-slow", _alerts("Start")[1:], _late("start-slow", 10, 9)),
    _budget(
        "start_ticket", "a fifth of the tasks starts late", "start-ticket", _alerts("Start")[2:], _late("start-ticket", 4, 15)
    ),
]
