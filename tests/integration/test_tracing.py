"""W3C trace context travels with each call; OpenTelemetry's spans stand in it where OpenTelemetry is set up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from tests.apps import talking
from tests.waiting import wait_until
from tests.workers import Work, producer, working

POOLS = ("prefork", "threads", "asyncio")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = 1
GIVEN = f"00-{TRACE}-{SPAN}-00"


@pytest.fixture
def tasks(redis_url: str) -> Any:
    return producer(redis_url, talking.app).tasks


def call(tasks: Any, name: str, *arguments: Any, **options: Any) -> Any:
    return tasks[f"tests.apps.talking.{name}"].apply_async(arguments, queue="work", **options)


def message(work: Work) -> dict[str, Any]:
    """The only message on the queue."""
    (text,) = work.client.lrange("work", 0, -1)
    headers: dict[str, Any] = json.loads(text)["headers"]
    return headers


def traces(work: Work, count: int) -> list[str]:
    """The traces of so many acceptances, once all that was accepted has ended."""

    def found() -> list[str] | None:
        made = [event for event in work.events() if event["k"] == "accepted"]
        done = len(made) == count and {event["id"] for event in made} == work.finals().keys()
        return [event["trace"] for event in made] if done else None

    return list(wait_until(found, 30, "all has ended"))


# --- without OpenTelemetry ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", POOLS)
def test_what_a_task_publishes_belongs_to_its_trace(redis_url: str, tmp_path: Path, tasks: Any, pool: str) -> None:
    """However deep; the trace is on record, and in each line of each log."""
    env = {"WINDROW_LOG_FORMAT": "json"}
    with working(redis_url, tmp_path, app="tests.apps.talking:app", more=f"  pool: {pool}") as work:
        work.start(1, env=env)
        talking.app.tasks["tests.apps.talking.call_on"].apply_async((2,), queue="work", headers={"traceparent": GIVEN})
        assert traces(work, 3) == [TRACE] * 3
        work.stop()
        lines = [json.loads(line) for line in work.log().splitlines()]
    assert [line["trace_id"] for line in lines if line["event"].startswith("level ")] == [TRACE] * 3


def test_each_call_of_nobodys_begins_a_trace_and_a_group_one_for_all(work_only: Work, tasks: Any) -> None:
    first, second = call(tasks, "silent"), call(tasks, "silent")
    assert first.id != second.id
    silent = tasks["tests.apps.talking.silent"].s().set(queue="work")
    group([silent, silent, silent])()
    made = [event["trace"] for event in work_only.events()]
    assert [event["id"].replace("-", "") for event in work_only.events()][:2] == made[:2]
    assert len(set(made)) == 3
    assert len(set(made[2:])) == 1


@pytest.fixture
def work_only(redis_url: str, tmp_path: Path, tasks: Any) -> Iterator[Work]:
    """A queue that nobody serves."""
    with working(redis_url, tmp_path, app="tests.apps.talking:app") as work:
        yield work


def test_a_retry_keeps_its_trace(redis_url: str, tmp_path: Path, tasks: Any) -> None:
    with working(redis_url, tmp_path, app="tests.apps.talking:app") as work:
        work.start(1)
        call(tasks, "say_each_time", 2, headers={"traceparent": GIVEN, "tracestate": "vendor=1"})
        assert traces(work, 3) == [TRACE] * 3


def test_what_follows_an_attempt_and_what_takes_its_place_stay_in_its_trace(redis_url: str, tmp_path: Path, tasks: Any) -> None:
    """The next step of a chain, a callback, a chord's body, what `replace` publishes."""
    silent = tasks["tests.apps.talking.silent"]

    def step(name: str = "silent") -> Any:
        return tasks[f"tests.apps.talking.{name}"].si().set(queue="work")

    with working(redis_url, tmp_path, app="tests.apps.talking:app") as work:
        work.start(1)
        for canvas, count in (
            (chain(step(), step(), step("replace")), 4),
            (silent.si().set(queue="work", link=[step()]), 2),
            (chord([step(), step()], step()), 3),
        ):
            before = len([event for event in work.events() if event["k"] == "accepted"])
            canvas.apply_async()
            made = traces(work, before + count)[before:]
            assert len(made) == count
            assert len(set(made)) == 1


def test_a_stock_producers_message_gets_a_trace_on_record(redis_url: str, tmp_path: Path, tasks: Any) -> None:
    """Its execution's."""
    with working(redis_url, tmp_path, app="tests.apps.talking:app") as work:
        stock = Celery("stock", broker=redis_url)
        stock.send_task("tests.apps.talking.call_on", (1,), queue="work", ignore_result=True)
        work.start(1)
        first, second = traces(work, 2)
        execution = next(event["id"] for event in work.events() if event["k"] == "accepted")
    assert first == second == execution.replace("-", "")


# --- with it, where a call is made --------------------------------------------------------------------------------------------


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """OpenTelemetry, set up in this process for one test; its spans."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", provider)
    return exporter


def test_a_call_in_a_span_is_a_span_of_its_trace(spans: InMemorySpanExporter, work_only: Work, tasks: Any) -> None:
    """Named after the task, with the conventions' attributes; the message carries its context."""
    with trace.get_tracer("test").start_as_current_span("the request") as outer:
        sent = call(tasks, "silent")
    made, request = spans.get_finished_spans()
    assert (made.name, made.kind, made.parent.span_id) == (
        "tests.apps.talking.silent publish", trace.SpanKind.PRODUCER, request.context.span_id,
    )  # fmt: skip
    assert made.attributes == {
        "messaging.system": "celery", "messaging.operation.name": "publish", "messaging.operation.type": "send",
        "messaging.destination.name": "work", "messaging.message.id": sent.id, "celery.task_name": "tests.apps.talking.silent",
    }  # fmt: skip
    within = outer.get_span_context()
    header = message(work_only)["traceparent"]
    assert header.startswith(f"00-{within.trace_id:032x}-{made.context.span_id:016x}-")
    assert int(header[-2:], 16) & SAMPLED
    assert [event["trace"] for event in work_only.events()] == [f"{within.trace_id:032x}"]


def test_a_call_outside_of_a_span_begins_a_trace_of_opentelemetrys(
    spans: InMemorySpanExporter, work_only: Work, tasks: Any
) -> None:
    call(tasks, "silent")
    (made,) = spans.get_finished_spans()
    assert [event["trace"] for event in work_only.events()] == [f"{made.context.trace_id:032x}"]


def test_a_call_with_a_context_of_its_own_is_a_span_in_that(spans: InMemorySpanExporter, work_only: Work, tasks: Any) -> None:
    call(tasks, "silent", headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    (made,) = spans.get_finished_spans()
    assert f"{made.parent.span_id:016x}" == SPAN
    assert message(work_only)["traceparent"] == f"00-{TRACE}-{made.context.span_id:016x}-01"


def test_what_else_the_processs_propagators_carry_goes_along(spans: InMemorySpanExporter, work_only: Work, tasks: Any) -> None:
    """Baggage, say."""
    token = context.attach(baggage.set_baggage("customer", "7"))
    try:
        call(tasks, "silent")
    finally:
        context.detach(token)
    assert message(work_only)["baggage"] == "customer=7"


def test_a_trace_that_is_not_sampled_travels_as_such(monkeypatch: pytest.MonkeyPatch, work_only: Work, tasks: Any) -> None:
    monkeypatch.setattr("opentelemetry.trace._TRACER_PROVIDER", TracerProvider(sampler=ALWAYS_OFF))
    call(tasks, "silent")
    assert not int(message(work_only)["traceparent"][-2:], 16) & SAMPLED


def test_a_call_that_fails_is_a_span_that_says_so(spans: InMemorySpanExporter, work_only: Work, tasks: Any) -> None:
    with pytest.raises(Exception, match="must be JSON"):
        call(tasks, "say", "x", serializer="pickle")
    with pytest.raises(Exception):  # noqa: B017 - whatever the encoder raises
        call(tasks, "say", object())
    (made,) = spans.get_finished_spans()
    assert made.status.status_code is trace.StatusCode.ERROR


# --- and in a worker ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=POOLS)
def traced(request: Any, redis_url: str, tmp_path: Path) -> Iterator[Work]:
    with working(redis_url, tmp_path, app="tests.apps.traced:app", more=f"  pool: {request.param}") as work:
        yield work


def told(work: Work, count: int) -> list[dict[str, Any]]:
    """So many spans of the workers."""
    path = work.folder / "spans"

    def found() -> list[dict[str, Any]] | None:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines] if len(lines) >= count else None

    return list(wait_until(found, 30, "the spans are there"))


def start(work: Work, **more: str) -> None:
    work.start(1, env={"SPANS": str(work.folder / "spans"), **more})


def test_a_task_is_a_span_and_what_it_publishes_stands_in_it(traced: Work, tasks: Any) -> None:
    """`process` under the call's context, `publish` under `process`, and so on; the attempt and the execution are named."""
    start(traced)
    sent = call(tasks, "call_on", 1, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    inner, outer, last = told(traced, 3)
    name = "tests.apps.talking.call_on"
    assert [(one["name"], one["kind"]) for one in (outer, inner, last)] == [
        (f"{name} process", "SpanKind.CONSUMER"), (f"{name} publish", "SpanKind.PRODUCER"),
        (f"{name} process", "SpanKind.CONSUMER"),
    ]  # fmt: skip
    assert {one["context"]["trace_id"] for one in (outer, inner, last)} == {f"0x{TRACE}"}
    assert outer["parent_id"] == f"0x{SPAN}"
    assert inner["parent_id"] == outer["context"]["span_id"]
    assert last["parent_id"] == inner["context"]["span_id"]
    event = next(event for event in traced.events() if event["k"] == "ended")
    assert outer["attributes"] == {
        "messaging.system": "celery", "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.destination.name": "work", "messaging.message.id": sent.id, "celery.task_name": name,
        "windrow.execution_id": event["id"], "windrow.attempt": event["attempt"], "windrow.retries": 0,
        "celery.state": "SUCCESS",
    }  # fmt: skip
    assert {event["trace"] for event in traced.events() if event["k"] == "accepted"} == {TRACE}


@pytest.mark.parametrize(
    ("pool", "moment"), [("prefork", "worker_process_init"), ("prefork", "worker_init"), ("threads", "worker_init")]
)
def test_opentelemetry_may_be_set_up_when_the_worker_or_its_child_begins(
    redis_url: str, tmp_path: Path, tasks: Any, pool: str, moment: str
) -> None:
    with working(redis_url, tmp_path, app="tests.apps.traced:app", more=f"  pool: {pool}") as work:
        start(work, SET_UP_AT=moment)
        call(tasks, "silent")
        (made,) = told(work, 1)
    assert made["name"] == "tests.apps.talking.silent process"


def test_a_task_that_fails_is_a_span_with_its_error(traced: Work, tasks: Any) -> None:
    start(traced)
    call(tasks, "say_and_fail")
    (made,) = told(traced, 1)
    assert made["status"] == {"status_code": "ERROR", "description": "uncaught"}
    assert made["attributes"]["error.type"] == "ValueError"
    assert [event["name"] for event in made["events"]] == ["exception"]


def test_a_retry_is_a_span_under_the_attempt_that_asked_for_it(traced: Work, tasks: Any) -> None:
    """Which is no failure."""
    start(traced)
    call(tasks, "say_each_time", 1)
    made = {(one["name"].rpartition(" ")[2], one["attributes"].get("windrow.retries")): one for one in told(traced, 3)}
    first, second, again = made["process", 0], made["process", 1], made["publish", None]
    assert (again["parent_id"], second["parent_id"]) == (first["context"]["span_id"], again["context"]["span_id"])
    assert first["attributes"]["celery.state"] == "RETRY"
    assert first["status"]["status_code"] == "UNSET"


def test_where_opentelemetrys_own_instrumentation_is_active_no_span_is_doubled(traced: Work, tasks: Any) -> None:
    """It makes the spans, and its contexts are what travels and what is on record."""
    start(traced, INSTRUMENTED="1")
    call(tasks, "call_on", 1, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    made = told(traced, 3)
    assert sorted(one["name"].partition("/")[0] for one in made) == ["apply_async", "run", "run"]
    assert {one["context"]["trace_id"] for one in made} == {f"0x{TRACE}"}
    assert {event["trace"] for event in traced.events() if event["k"] == "accepted"} == {TRACE}
