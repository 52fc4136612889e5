"""docs/queueworker.md: every key of a QueueWorker with its bounds, default and meaning, made from the model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from windrow.queues.fields import Pattern, Written
from windrow.queues.model import QueueWorker
from windrow.queues.quantities import DURATION_PATTERN, MEMORY_PATTERN, PERCENT_PATTERN, RATE_PATTERN, format_duration
from windrow.queues.sentences import model_in

_HEAD = """# QueueWorker

<!-- Made from the model by `python -m windrow.queues > docs/queueworker.md`; a test fails when it is stale. -->

One `QueueWorker` says all that is particular to one queue. `windrow up` and `windrow worker` read it from `windrow.yaml`:
as many documents as there are queues, separated by `---`, or one `kind: List`. `kubectl apply -f windrow.yaml` gives the same
file to a cluster, whose API server checks it by the same rules ([operator.md](operator.md)).

```yaml
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: long-running}
spec:
  queue: long_running
  app: myproject.celery:app
  concurrency: 2
  timeLimits: {soft: 1h, hard: 1h10m}
  rateLimit: 100/m
  recycle: {tasks: 1000, memory: 512Mi}
  scaling: {maxReplicas: 10, waitTarget: 30s}
  objectives: {start: {within: 30s, target: 99%}, success: {target: 99.5%}}
```

A duration is whole hours, minutes, seconds and milliseconds, at most a week: `90s`, `10m`, `1h10m`, `500ms`. A key that is left
out has its default; an explicit null is refused, and so is any key that is not in this table. A file that can't work gets one
sentence with the file, the line, what must hold and what was given:

```text
windrow.yaml:8: spec.timeLimits.soft must be shorter than hard (1h10m), not '2h'
```

## Keys

| key | value | default | meaning |
|---|---|---|---|
"""

_TAIL = """
`-` under default: nothing is set. `metadata` may also carry what an API server fills in; it is ignored, as is `status`.

## What follows from it

| never asked for | is |
|---|---|
| termination grace | the hard limit + 40 s |
| a task's limits | each from the message, else the task, else the queue, capped by the queue's hard limit |
| a task whose own limits are capped | gets soft = hard − 10 s and is named in one warning at start |
| how much is taken ahead | what measured run times say will start within some 20 ms |
| acknowledgement | a failure or a time-out is final; the death of a child or a worker is a recovery (`maxRecoveries`) |
| Celery's own events | off: records and metrics have a stream of their own |
"""

_KINDS = {
    DURATION_PATTERN: "duration",
    MEMORY_PATTERN: "memory, such as `512Mi`",
    RATE_PATTERN: "rate, such as `100/m`",
    PERCENT_PATTERN: "percentage, such as `99.5%`",
}


def page() -> str:
    """The page, whole."""
    rows = "".join(f"| `{path}` | {_value(field)} | {_default(path, field)} | {_meaning(field)} |\n" for path, field in keys())
    return _HEAD + rows + _TAIL


def keys() -> Iterator[tuple[str, FieldInfo]]:
    """Every key that a person may write, by dotted path, in the model's order."""
    yield from _keys(QueueWorker, "")


def _keys(model: type[BaseModel], above: str) -> Iterator[tuple[str, FieldInfo]]:
    for field in model.model_fields.values():
        path = f"{above}{field.alias}"
        yield path, field
        inner = model_in(field.annotation)
        if inner is not None:
            yield from _keys(inner, f"{path}[]." if get_origin(field.annotation) is list else f"{path}.")


def _value(field: FieldInfo) -> str:
    plain, metadata = without_none(field)
    for rule in metadata:
        if isinstance(rule, Written):
            return _KINDS[rule.pattern]
        if isinstance(rule, Pattern):
            return "text"
    if get_origin(plain) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(plain))
    if get_origin(plain) is list:
        return "list"
    if plain is int:
        return f"whole number{_bounds(metadata)}"
    return {bool: "`true` or `false`", str: "text"}.get(plain, "mapping")


def without_none(field: FieldInfo) -> tuple[Any, list[Any]]:
    """The type of a value that is there, and the rules it keeps to, also those inside `… | None`."""
    plain: Any = field.annotation
    metadata = list(field.metadata)
    parts = [part for part in get_args(plain) if part is not type(None)]
    if type(None) in get_args(plain):
        plain = parts[0]
    if hasattr(plain, "__metadata__"):
        metadata += plain.__metadata__
        plain = plain.__origin__
    return plain, metadata


def _bounds(metadata: list[Any]) -> str:
    low = next((rule.ge for rule in metadata if isinstance(rule, annotated_types.Ge)), None)
    high = next((rule.le for rule in metadata if isinstance(rule, annotated_types.Le)), None)
    return "" if low is None else f", {low} to {high}" if high is not None else f", at least {low}"


def _default(path: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if path == "spec.queue":
        return "the name, with - as _"
    if path == "spec.timeLimits.hard":
        return "`soft` + 10s, or `1h`"
    value = field.default
    if value is PydanticUndefined or value is None or value in ([], {}):
        return "-"
    if isinstance(value, float):
        return f"`{format_duration(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meaning(field: FieldInfo) -> str:
    return (field.description or "").replace("|", "\\|")
