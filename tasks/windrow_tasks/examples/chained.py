"""Canvas: one after the other, side by side, side by side and then together."""

# The code below the line is a user's own, kept as it was printed: no formatter, linter or type checker has changed it.
# fmt: off
# ruff: noqa
# mypy: ignore-errors

from celery import shared_task


@shared_task
def task1(value):
    """Adds one."""
    return value + 1


@shared_task
def task2(value):
    """Doubles."""
    return value * 2


@shared_task
def task3(value):
    """Makes it negative."""
    return -value


@shared_task
def aggregate_results(values):
    """Adds up."""
    return sum(values)


def start(arg1, item1, item2, item3, items):
    """Accept all three canvases."""
    # ----------------------------------------------------------------------------------------------------
    from celery import chain, group, chord

    # Sequential execution
    chain(
        task1.s(arg1),
        task2.s(),  # Receives result from task1
        task3.s(),
    )()

    # Parallel execution
    group(
        task1.s(item1),
        task1.s(item2),
        task1.s(item3),
    )()

    # Parallel then aggregate
    chord(
        group(task1.s(i) for i in items),
        aggregate_results.s()
    )()
