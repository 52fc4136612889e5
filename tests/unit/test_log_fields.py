"""What `logging` was given besides its message: in JSON under its own name, for people behind the message."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from windrow.logs import format_for_people, handler


def record(name: str = "shop.orders", **extra: Any) -> logging.LogRecord:
    return logging.getLogger(name).makeRecord(name, logging.INFO, __file__, 1, "paid %s", ("yes",), None, extra=extra)


def test_extra_fields_stand_in_the_line() -> None:
    """Each by its name; what JSON has no form for as Python writes it."""
    line = json.loads(handler("json").format(record(order=7, who=frozenset({1}))))
    assert (line["event"], line["order"], line["who"]) == ("paid yes", 7, "frozenset({1})")
    assert format_for_people(record(order=7)).endswith(" [info] paid yes order=7 [shop.orders]")


def test_extra_fields_take_no_other_fields_place() -> None:
    """`level` and `event` stay what they are."""
    line = json.loads(handler("json").format(record(level="mine", event="mine")))
    assert (line["level"], line["event"]) == ("info", "paid yes")


@pytest.mark.parametrize("name", ["celery.app.trace", "celery.worker.strategy"])
def test_what_celery_repeats_is_left_out(name: str) -> None:
    """Its records carry arguments and results, which a task may have redacted."""
    made = record(name, data={"args": "('secret',)"})
    assert "secret" not in handler("json").format(made)
    assert "secret" not in format_for_people(made)


def test_a_record_without_them_has_only_the_usual_fields() -> None:
    """Nothing of `logging`'s own bookkeeping is told."""
    assert set(json.loads(handler("json").format(record()))) == {"event", "level", "logger", "timestamp"}
