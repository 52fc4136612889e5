"""When Redis takes no new task: it is full, or the records are too far behind. What had been accepted goes on."""

from __future__ import annotations

import logging

from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


class PublishRefused(OperationalError):
    """A new task was refused, and nothing of it was put into Redis; the sentence says why and what to do."""


def is_full(error: object) -> bool:
    """Whether Redis refused a write because its memory is used up: an error of its own, or, on Redis 6.2, a script's."""
    return isinstance(error, Exception) and "command not allowed when used memory >" in str(error)


def judge(answer: object, task: str) -> int:
    """What `publish.lua` answered to a call of `task`: 1, or why it published nothing.

    `answer` is the script's, or the error in its place. Raises PublishRefused for a new task that Redis did not take, and any
    other error as it is.
    """
    if is_full(answer):
        raise PublishRefused(
            f"publishing {task} was refused: Redis must have room for a new task, and its memory is used up (maxmemory); "
            "raise maxmemory, or publish again when workers have finished some of what waits, which goes on meanwhile"
        )
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, int) and answer < 0:
        raise PublishRefused(
            f"publishing {task} was refused: the records must not be too far behind, and {-answer} entries of the event "
            "stream wait for them; see that `windrow server` and PostgreSQL run; what was accepted goes on meanwhile"
        )
    return int(answer)  # type: ignore[call-overload, no-any-return]


def say_unpublished(task_id: str, answer: int) -> None:
    """Log it when `publish.lua`, by its `answer`, has published nothing."""
    if answer == 0:
        logger.warning("what takes the place of %s was dropped: its attempt had been given to another worker", task_id)
    elif answer == 2:
        logger.info("%s was not published again: it had been published before", task_id)
