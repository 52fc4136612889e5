"""W3C trace context in a message's headers: what is one, how one begins, how it goes on."""

from __future__ import annotations

import re

import pytest

from windrow.broker import events
from windrow.broker.keys import Keys
from windrow.broker.publication import publication
from windrow.broker.trace import begun, continued, put_begun, trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{SPAN}-00"
FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01")


@pytest.mark.parametrize(
    ("header", "trace"),
    [
        (GIVEN, TRACE),
        (f"00-{TRACE}-{SPAN}-01", TRACE),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", TRACE),
        (f"00-{TRACE}-{SPAN}-01-what-comes-later", None),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}-01\n", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
        (None, None),
        ([GIVEN], None),
    ],
)
def test_only_what_the_recommendation_allows_is_a_trace(header: object, trace: str | None) -> None:
    assert trace_of(header) == trace


def test_a_trace_that_begins_here_is_named_after_its_execution() -> None:
    """So that whoever has one of both ids has the other."""
    execution = events.new_id()
    made = begun(execution)
    assert FORM.fullmatch(made)
    assert trace_of(made) == execution.replace("-", "")


def test_the_calls_of_a_group_have_one_trace() -> None:
    """The group's; an id that is no UUID, chosen by somebody, names none."""
    group = "6f1d1f3c-6d0b-4a55-9c2e-0d4b1d5b7c11"
    one, other = events.new_id(), events.new_id()
    assert trace_of(begun(one, group)) == trace_of(begun(other, group)) == group.replace("-", "")
    assert begun(one, group) != begun(other, group)
    assert trace_of(begun(one, "my group")) == one.replace("-", "")


def test_what_goes_on_keeps_the_trace_and_whether_it_is_sampled_and_names_the_attempt() -> None:
    execution, attempt = events.new_id(), events.new_id()
    assert continued(GIVEN, execution, attempt) == f"00-{TRACE}-{attempt.replace('-', '')[16:]}-00"
    assert trace_of(continued(None, execution, attempt)) == execution.replace("-", "")
    assert trace_of(continued("nonsense", execution, attempt)) == execution.replace("-", "")


def test_a_message_keeps_the_trace_that_it_came_with() -> None:
    headers = {"traceparent": GIVEN, "tracestate": "a=b"}
    assert put_begun(headers, events.new_id()) == TRACE
    assert headers == {"traceparent": GIVEN, "tracestate": "a=b"}


def test_a_state_without_a_trace_is_dropped() -> None:
    """The recommendation says so: it belongs to a traceparent that can be read."""
    headers = {"traceparent": "nonsense", "tracestate": "a=b"}
    put_begun(headers, events.new_id())
    assert set(headers) == {"traceparent"}
    assert FORM.fullmatch(headers["traceparent"])


@pytest.mark.parametrize("given", [{}, {"traceparent": GIVEN}])
def test_an_acceptance_says_the_trace_of_its_message(given: dict[str, str]) -> None:
    headers = {"task": "t", "id": "T", **given}
    made = publication({"headers": headers, "properties": {"delivery_tag": "d"}}, "q", Keys())
    trace = TRACE if given else made.execution.replace("-", "")
    assert f'"trace":"{trace}"' in str(made.arguments[2])
    assert trace_of(headers["traceparent"]) == trace
