"""What a QueueWorker may say: defaults, quantities, and the page made from the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from windrow.queues import SpecError, default_specs, from_flags, load_specs, parse_specs
from windrow.queues.model import QueueWorker
from windrow.queues.quantities import format_duration, format_memory, parse_duration, parse_memory, parse_rate
from windrow.queues.reference import keys, page

HEAD = "apiVersion: windrow.dev/v1alpha1\nkind: QueueWorker\nmetadata: {name: long-running}\n"


def spec(body: str = "{}") -> QueueWorker:
    (made,) = parse_specs(f"{HEAD}spec: {body}\n")
    return made


def test_defaults() -> None:
    """A spec that says nothing has the documented defaults, and its queue is its name with - as _."""
    made = spec()
    assert made.name == "long-running"
    assert made.spec.queue == "long_running"
    assert made.spec.app == "windrow.authoring.app:app"
    assert (made.spec.pool, made.spec.concurrency, made.spec.acks_late) == ("prefork", 2, True)
    assert (made.spec.time_limits.soft, made.spec.time_limits.hard) == (None, 3600)
    assert (made.spec.rate_limit, made.spec.max_recoveries, made.spec.paused, made.spec.replicas) == (None, 3, False, None)
    scaling = made.spec.scaling
    assert (scaling.min_replicas, scaling.max_replicas, scaling.wait_target) == (0, 50, 30)
    assert (scaling.scale_down_window, scaling.fallback_replicas) == (120, 2)


def test_spec_may_be_left_out() -> None:
    """An object without a spec is a queue with every default."""
    (made,) = parse_specs(HEAD)
    assert made.spec.queue == "long_running"


@pytest.mark.parametrize(
    ("limits", "soft", "hard"),
    [("{}", None, 3600), ("{soft: 1h}", 3600, 3610), ("{hard: 5m}", None, 300), ("{soft: 1h, hard: 1h10m}", 3600, 4200)],
)
def test_missing_hard_limit(limits: str, soft: float | None, hard: float) -> None:
    """A missing hard limit is soft + 10 s, or 1 h when neither is given."""
    made = spec(f"{{timeLimits: {limits}}}")
    assert (made.spec.time_limits.soft, made.spec.time_limits.hard) == (soft, hard)


def test_every_key_of_the_format_is_read() -> None:
    """The whole example of the format is accepted, and written out again it reads the same."""
    made = spec(
        "{queue: q, app: 'shop.celery:app', pool: prefork, concurrency: 4, acksLate: false, timeLimits: {soft: 1h},"
        " rateLimit: 100/m, maxRecoveries: 1, recycle: {tasks: 1000, memory: 512Mi}, paused: true, replicas: 3,"
        " scaling: {minReplicas: 1, maxReplicas: 5, waitTarget: 500ms, scaleDownWindow: 0s, fallbackReplicas: 1},"
        " connection: {secretRef: {name: s}}, template: {image: x, env: [{name: A, value: b}], labels: {a: b}}}"
    )
    assert made.spec.recycle.memory == 512 * 1024 * 1024
    assert made.spec.scaling.wait_target == 0.5
    written = made.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert written["spec"]["timeLimits"] == {"soft": "1h", "hard": "1h10s"}
    assert QueueWorker.model_validate(written).spec == made.spec


def test_frozen() -> None:
    """A spec that was read can't be changed under those who hold it."""
    made = spec()
    with pytest.raises(ValidationError):
        made.spec.concurrency = 3  # type: ignore[misc]


def test_what_an_api_server_adds_is_ignored() -> None:
    """An object read back from an API server, with status and server-side metadata, is the same spec."""
    made = QueueWorker.model_validate(
        {
            "apiVersion": "windrow.dev/v1alpha1",
            "kind": "QueueWorker",
            "metadata": {"name": "q", "uid": "1", "resourceVersion": "7", "generation": 2, "managedFields": []},
            "spec": {},
            "status": {"replicas": 2},
        }
    )
    assert made.spec.queue == "q"
    assert made.source is None


def test_the_default_set() -> None:
    """The default set serves the four usual queues and Celery's own default; long_running has 1h and 1h10m."""
    specs = {made.spec.queue: made.spec for made in default_specs()}
    assert list(specs) == ["high_priority", "default", "file_queue", "long_running", "celery"]
    assert (specs["long_running"].time_limits.soft, specs["long_running"].time_limits.hard) == (3600, 4200)


def test_a_spec_from_flags() -> None:
    """`-A APP -Q QUEUE -c N` makes a spec whose name is one an object may have, or says what is wrong with a flag."""
    made = from_flags("shop.celery:app", "My.Queue", 3)
    assert (made.name, made.spec.queue, made.spec.concurrency) == ("my-queue", "My.Queue", 3)
    with pytest.raises(SpecError, match=r"^spec\.queue must be letters, digits and any of _ \. : @ \+ -, not 'a b'$"):
        from_flags("shop.celery:app", "a b")


def test_documents_and_lists(tmp_path: Path) -> None:
    """A file holds its objects as documents, as a List, or both, and each knows its lines."""
    file = tmp_path / "windrow.yaml"
    item = HEAD.replace("\n", "\n    ")
    first_document = HEAD.replace("long-running", "a")
    file.write_text(f"---\n{first_document}---\nkind: List\nitems:\n  - {item}spec:\n      app: shop:app\n---\n")
    first, second = load_specs(file)
    assert (first.name, second.name) == ("a", "long-running")
    assert second.source is not None
    assert (second.source.file, second.source.line_of("spec.app")) == (str(file), 12)
    assert second.source.line_of("spec.timeLimits.soft") == 11  # not written: the nearest key around it
    assert str(SpecError.at(second, "spec.app", "spec.app must be importable")) == f"{file}:12: spec.app must be importable"


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=7 * 24 * 3600 * 1000))
def test_durations_read_back(milliseconds: int) -> None:
    """Every duration that is written is read back the same."""
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1h10m", 4200), ("500ms", 0.5), ("1h1m1s1ms", 3661.001), ("0s", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    """Durations are hours, minutes, seconds and milliseconds, in this order."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1.5h", "10m1h", "-1s", "1 h", "1d", "1h\n", "٣s"])
def test_no_durations(text: str) -> None:
    """What only looks like a duration is none."""
    with pytest.raises(ValueError, match="must be a duration such as 90s, 10m, 1h10m or 500ms"):
        parse_duration(text)


def test_memory_and_rates() -> None:
    """Memory has Kubernetes' units; a rate is in tasks a second."""
    assert parse_memory("512Mi") == 512 << 20
    assert parse_memory("2G") == 2_000_000_000
    assert format_memory(1 << 30) == "1Gi"
    assert format_memory(3 << 20) == "3Mi"
    assert parse_rate("100/m") == pytest.approx(100 / 60)
    assert (parse_rate("10/s"), parse_rate("3600/h")) == (10, 1)


def test_the_page_is_current() -> None:
    """docs/queueworker.md is what the model says: `python -m windrow.queues > docs/queueworker.md` makes it anew."""
    written = Path(__file__).parents[2] / "docs" / "queueworker.md"
    assert written.read_text(encoding="utf-8") == page()


def test_every_key_is_described() -> None:
    """No key without a description, and the schema that the CRD rests on can be made."""
    assert [path for path, field in keys() if not field.description] == []
    schema = json.dumps(QueueWorker.model_json_schema(by_alias=True, mode="validation"))
    assert '"waitTarget"' in schema
    assert '"pattern": "^([0-9]+h)?' in schema
