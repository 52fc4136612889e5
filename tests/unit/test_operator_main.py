"""The operator's process."""

from __future__ import annotations

import logging

import pytest

from windrow_operator.main import Seldom


def test_retries_are_told_seldom_and_in_short(caplog: pytest.LogCaptureFixture) -> None:
    """An API server that is away for minutes must not fill the log."""
    now = [0.0]
    log = logging.getLogger("test.seldom")
    log.addFilter(Seldom(10.0, lambda: now[0]))
    for second in range(25):
        now[0] = float(second)
        log.error("attempt %s %s", second, "x" * 1000)
    told = [record.getMessage() for record in caplog.records]
    assert [message.split()[1] for message in told] == ["0", "10", "20"]
    assert max(map(len, told)) <= 300
