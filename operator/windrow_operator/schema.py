"""A structural OpenAPI schema from the QueueWorker model: types, bounds, defaults, and rules that speak in sentences. Pure.

The API server says what breaks a number's bound or a length itself. What a pattern or two keys together ask for is a CEL rule,
since its message is ours: the same sentence as the model's, beginning with "must".
"""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from windrow.queues.fields import Between, Pattern, Written
from windrow.queues.quantities import DURATION_PATTERN, format_duration

Schema = dict[str, Any]
Rule = dict[str, Any]

DURATION_READABLE = "^(0*[0-9]{1,6}h)?(0*[0-9]{1,7}m)?(0*[0-9]{1,9}s)?(0*[0-9]{1,12}ms)?$"
"""Durations that CEL's `duration()` can hold (292 years); beyond them it raises an error that would hide the sentence."""


def object_schema(model: type[BaseModel], rules: dict[type[BaseModel], list[Rule]], description: str | None = None) -> Schema:
    """The schema of one part of a spec; `rules` holds what a part asks for beyond its fields, one by one."""
    required = [str(field.alias) for field in model.model_fields.values() if field.is_required()]
    schema: Schema = {
        "type": "object",
        "description": description or (model.__doc__ or "").strip(),
        "properties": {str(field.alias): field_schema(field, rules) for field in model.model_fields.values()},
    }
    if required:
        schema["required"] = required
    if model in rules:
        schema["x-kubernetes-validations"] = rules[model]
    return schema


def field_schema(field: FieldInfo, rules: dict[type[BaseModel], list[Rule]]) -> Schema:
    """The schema of one key: its value's, its meaning, and its default where that is one and the same for every object."""
    schema = _value_schema(field.annotation, field.metadata, rules)
    if field.description:
        schema["description"] = field.description
    default = _default(field)
    if default is None and schema["type"] == "object" and _has_defaults(schema):
        default = {}  # else the keys inside would get theirs only when someone writes the mapping
    if default is not None:
        schema["default"] = default
    return schema


def _value_schema(annotation: Any, metadata: Iterable[Any], rules: dict[type[BaseModel], list[Rule]]) -> Schema:
    metadata = list(metadata)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inside = (rule for given in args[1:] for rule in (given.metadata if isinstance(given, FieldInfo) else [given]))
        return _value_schema(args[0], [*inside, *metadata], rules)
    if origin in (Union, UnionType):
        (annotation,) = (part for part in args if part is not type(None))
        return _value_schema(annotation, metadata, rules)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return object_schema(annotation, rules)
    most = _bound(metadata, annotated_types.MaxLen, "max_length")
    if origin is list:
        return {"type": "array", "maxItems": most, "items": _value_schema(args[0], [], rules)}
    if origin is dict:
        inner: Schema = (
            {"x-kubernetes-preserve-unknown-fields": True}
            if args[1] is Any
            else {"additionalProperties": _value_schema(args[1], [], rules)}
        )
        return {"type": "object", "maxProperties": most, **inner}
    if origin is Literal:
        return {"type": "string", "maxLength": max(map(len, args)), "enum": list(args)}
    if annotation is bool:
        return {"type": "boolean"}
    return _text_schema(metadata) or _plain_schema(annotation, metadata, most)


def _text_schema(metadata: list[Any]) -> Schema | None:
    """A text with a pattern: the rule's message is the model's own sentence."""
    for rule in metadata:
        if isinstance(rule, Written | Pattern):
            empty = "" if "*" not in rule.pattern[:3] and rule.pattern != DURATION_PATTERN else "self.size() > 0 && "
            found = [{"rule": f"{empty}self.matches({_quoted(rule.pattern)})", "message": rule.must}]
            return {"type": "string", "maxLength": rule.longest, "x-kubernetes-validations": found + _bounds_rule(metadata)}
    return None


def _bounds_rule(metadata: list[Any]) -> list[Rule]:
    for bounds in metadata:
        if isinstance(bounds, Between):
            least, most = format_duration(bounds.least), format_duration(bounds.most)
            readable = f"self.matches({_quoted(DURATION_READABLE)})"
            within = f"duration(self) >= duration('{least}') && duration(self) <= duration('{most}')"
            return [
                {
                    # What is no duration has been said by the rule before.
                    "rule": f"self.size() == 0 || !self.matches({_quoted(DURATION_PATTERN)}) || ({readable} && {within})",
                    "message": f"must be at least {least} and at most {most}",
                }
            ]
    return []


def _plain_schema(annotation: Any, metadata: list[Any], most: int | None) -> Schema:
    if annotation is int:
        low = _bound(metadata, annotated_types.Ge, "ge")
        return {"type": "integer", "format": "int32", "minimum": low, "maximum": _bound(metadata, annotated_types.Le, "le")}
    if annotation is str:
        low = _bound(metadata, annotated_types.MinLen, "min_length")
        return {"type": "string", "maxLength": most, **({"minLength": low} if low is not None else {})}
    raise TypeError(f"a field of the model must have a type that a schema can say, not {annotation!r}")


def _bound(metadata: list[Any], kind: type, name: str) -> int | None:
    return next((getattr(rule, name) for rule in metadata if isinstance(rule, kind)), None)


def _default(field: FieldInfo) -> Any:
    """The key's default as a person would write it; None when there is none, or when it depends on other keys."""
    value = field.default
    if value is PydanticUndefined or value is None or value in ([], {}):
        return None
    return format_duration(value) if isinstance(value, float) else value


def _has_defaults(schema: Schema) -> bool:
    return any("default" in inner for inner in schema.get("properties", {}).values())


def _quoted(text: str) -> str:
    """A CEL string; a raw one, so that a pattern stands there as it is."""
    return f"r'{text}'"
