"""One sentence from what pydantic found: which key, what must hold, what was given, what to write instead."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from windrow.queues.model import QueueWorker
from windrow.queues.source import Source

_MUST = {
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "model_type": "must be a mapping",
    "dict_type": "must be a mapping",
    "list_type": "must be a list",
    "invalid_key": "must have keys that are text",
}
_MUST_WITH_BOUND = {
    "greater_than_equal": ("must be at least {}", "ge"),
    "less_than_equal": ("must be at most {}", "le"),
    "literal_error": ("must be {}", "expected"),
    "string_too_short": ("must have at least {} characters", "min_length"),
    "string_too_long": ("must have at most {} characters", "max_length"),
    "too_long": ("must have at most {} entries", "max_length"),
}


def first_fault(error: ValidationError, source: Source) -> tuple[str, str]:
    """The key's dotted path and the whole sentence of the fault that stands first in the file."""
    faults = [
        _fault(details)
        for details in error.errors(include_url=False)
        # A default that needs another field's value is no fault of its own when that field is wrong.
        if details["type"] != "default_factory_not_called"
    ]
    return min(faults, key=lambda fault: source.line_of(fault[0]))


def _fault(details: ErrorDetails) -> tuple[str, str]:
    context: Mapping[str, Any] = details.get("ctx") or {}
    keys = [str(part) for part in details["loc"]]
    if details["type"] == "windrow" and "key" in context:
        keys.append(context["key"])
    path = ".".join(keys)
    if details["type"] == "extra_forbidden":
        return path, _unknown_key(keys)
    if details["type"] == "missing":
        return path, f"{path} must be given, not left out"
    given = context.get("given", details["input"])
    return path, f"{path or 'each document'} {_must(details, context)}, not {shown(given)}"


def _must(details: ErrorDetails, context: Mapping[str, Any]) -> str:
    kind = details["type"]
    if kind == "windrow":
        return str(context["must"])
    if kind in _MUST_WITH_BOUND:
        must, name = _MUST_WITH_BOUND[kind]
        return must.format(context[name])
    return _MUST.get(kind, f"must be valid ({details['msg']})")


def _unknown_key(keys: list[str]) -> str:
    *above, key = keys
    known = [str(field.alias) for field in _model_at(above).model_fields.values()]
    near = get_close_matches(key, known, n=1, cutoff=0.6)
    place = ".".join(above) or "a QueueWorker"
    if near:
        return f"{place} must hold only keys it knows, not {key!r} (did you mean {near[0]}?)"
    return f"{place} must hold only keys it knows ({', '.join(known)}), not {key!r}"


def _model_at(keys: list[str]) -> type[BaseModel]:
    model: type[BaseModel] = QueueWorker
    for key in keys:
        for field in model.model_fields.values():
            if field.alias == key:
                model = model_in(field.annotation) or model
    return model


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The part of a spec that a field holds, itself or in a list; None for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = model_in(part)
        if found is not None:
            return found
    return None


def shown(value: Any) -> str:
    """A value as a person wrote it, cut to one short line; a mapping or list by its kind alone, since it may hold secrets."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
