"""The CRD is the model's: current in the charts, bounded in every field, with the model's defaults and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from windrow.queues import QueueWorker
from windrow.queues.reference import keys
from windrow_operator.crd import crd, text

ROOT = Path(__file__).parents[2]
FILES = ("charts/windrow/crds/queueworkers.yaml", "charts/windrow-crds/templates/queueworkers.yaml")
VERSION = crd()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema inside a schema, itself first."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from leaves(inner, f"{path}.{name}" if path else name)
    for kind in ("items", "additionalProperties"):
        if isinstance(schema.get(kind), dict):
            yield from leaves(schema[kind], f"{path}[]")


@pytest.mark.parametrize("file", FILES)
def test_the_charts_hold_the_models_crd(file: str) -> None:
    assert (ROOT / file).read_text(encoding="utf-8") == text(), f"stale: python -m windrow_operator.crd > {file}"


def test_the_text_is_the_crd_and_helm_finds_nothing_to_fill_in() -> None:
    assert yaml.safe_load(text()) == crd()
    assert "{{" not in text()


def test_no_uninstall_takes_the_definition_away() -> None:
    assert crd()["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_every_key_of_the_model_is_there_with_its_meaning() -> None:
    there = dict(leaves(SCHEMA["properties"]["spec"], "spec"))
    for path, field in keys():
        if path.startswith("spec"):
            assert there[path]["description"] == field.description
    known = {path for path, _ in keys()}
    assert {path for path in there if not path.endswith("[]")} <= known, "and nothing else"


def test_every_field_has_a_bound() -> None:
    bounds = {
        "string": lambda schema: schema.get("maxLength") or "enum" in schema or schema.get("format") == "date-time",
        "integer": lambda schema: schema["minimum"] is not None and (schema.get("maximum") or schema["format"] == "int64"),
        "array": lambda schema: schema["maxItems"],
        "object": lambda schema: "properties" in schema or schema["maxProperties"],
        "boolean": lambda schema: True,
    }
    for path, schema in leaves(SCHEMA):
        if path not in ("apiVersion", "kind"):  # the API server's own
            assert bounds[schema["type"]](schema), f"{path} has no bound"


def test_every_rule_speaks_in_a_sentence_with_must() -> None:
    rules = [rule for _, schema in leaves(SCHEMA) for rule in schema.get("x-kubernetes-validations", ())]
    assert len(rules) > 15
    for rule in rules:
        assert rule["message"].startswith("must "), rule


def test_what_the_server_fills_in_is_what_the_model_does() -> None:
    def filled(schema: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
        """The API server's defaulting."""
        for name, inner in schema.get("properties", {}).items():
            if name not in given and "default" in inner:
                given[name] = inner["default"].copy() if isinstance(inner["default"], dict) else inner["default"]
            if isinstance(given.get(name), dict):
                filled(inner, given[name])
        return given

    bare = {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": "mail"}}
    by_server = filled(SCHEMA, {**bare, "metadata": {"name": "mail"}})
    assert by_server["spec"]["scaling"]["waitTarget"] == "30s"
    by_model = QueueWorker.model_validate(bare)
    assert QueueWorker.model_validate(by_server) == by_model
    plain = by_model.model_dump(mode="json", by_alias=True, exclude_none=True)["spec"]
    for key, value in by_server["spec"].items():
        assert plain[key] == value, f"spec.{key}"


def test_the_number_of_workers_has_no_default_since_its_absence_means_autoscaled() -> None:
    assert "default" not in SCHEMA["properties"]["spec"]["properties"]["replicas"]


def test_kubectl_scale_reads_and_writes_the_pinned_number() -> None:
    assert VERSION["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }


def test_the_columns_are_what_a_person_on_call_looks_for_and_exist() -> None:
    columns = VERSION["additionalPrinterColumns"]
    assert [column["name"] for column in columns] == [
        "Queue",
        "Ready",
        "In flight",
        "Oldest",
        "Workers",
        "Desired",
        "Mode",
        "Age",
    ]
    there = {f".{path}" for path, _ in leaves(SCHEMA)}
    for column in columns[:-1]:
        assert column["jsonPath"] in there
