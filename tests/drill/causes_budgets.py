"""What overspends an objective's budget: failures and late starts at chosen shares of all.

Targets are 95 %, so a share of 72 % burns a budget of 5 % at 14.4, 30 % at 6, 15 % at 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.drill import tasks
from tests.drill.cause import Act, Cause, expect
from tests.drill.stage import Stage


def _failing(queue: str, bad: int, of: int) -> Act:
    """Of so many calls some fail, evenly spread, the first ones last: at no moment is the share higher than it shall be."""

    def calls(stage: Stage) -> Iterator[float]:
        number = 0
        while True:
            number += 1
            fails = number * bad // of > (number - 1) * bad // of
            stage.producer.attempt(tasks.fail if fails else tasks.work, queue)
            yield 0.1

    return lambda stage: stage.producer.stream(queue, partial(calls, stage))


def _late(queue: str, late: int, timely: int) -> Act:
    """In each round so many tasks come when nothing is there, and then so many stand behind a long one."""

    def calls(stage: Stage) -> Iterator[float]:
        while True:
            for _ in range(timely):
                stage.producer.attempt(tasks.work, queue, 0.0)
                yield 0.1
            stage.producer.attempt(tasks.work, queue, 2.0)
            yield 0.1
            for _ in range(late):
                stage.producer.attempt(tasks.work, queue, 0.0)
            yield 2.4

    return lambda stage: stage.producer.stream(queue, partial(calls, stage))


def _well(queue: str) -> Act:
    """From now on all is well, and there is more of it than before: windows that still hold the harm hold more that is well."""
    return lambda stage: stage.producer.steady(queue, queue, 20.0)


def _settled(objective: str, queue: str) -> Callable[[Stage], bool]:
    """No window spends the budget any more, the longest neither, or a ticket would come when a page is forgotten."""
    burns = f'{{__name__=~"windrow:{objective}_burn:rate.+", queue="{queue}"}} >= 1'
    return lambda stage: not stage.tower.query(burns)


def _budget(name: str, says: str, alert: str, begin: Act) -> Cause:
    queue = name.replace("_", "-")
    objective = name.partition("_")[0]
    return Cause(
        name,
        says,
        expect([alert], queue),
        begin,
        _well(queue),
        warm=queue,
        settled=_settled(objective, queue),
        resolves_s=300.0,
    )


CAUSES = [
    _budget("success_fast", "nine tasks of ten fail", "SuccessBudgetFast", _failing("success-fast", 9, 10)),
    _budget("success_slow", "half of the tasks fail", "SuccessBudgetSlow", _failing("success-slow", 5, 10)),
    _budget("success_ticket", "a fifth of the tasks fails", "SuccessBudgetTicket", _failing("success-ticket", 2, 10)),
    _budget("start_fast", "nine of ten tasks start late", "StartBudgetFast", _late("start-fast", 18, 0)),
    _budget("start_slow", "half of the tasks start late", "StartBudgetSlow", _late("start-slow", 10, 9)),
    _budget("start_ticket", "a fifth of the tasks starts late", "StartBudgetTicket", _late("start-ticket", 5, 20)),
]
