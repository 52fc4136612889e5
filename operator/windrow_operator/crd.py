"""The CustomResourceDefinition of QueueWorkers, made from the model that checks `windrow.yaml`.

`python -m windrow_operator.crd` prints it; `charts/windrow/crds` and `charts/windrow-crds/templates` hold that text.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml
from pydantic import BaseModel

from windrow.queues.model import KIND, POOL_MUST, QUEUE_MUST, RESERVED_QUEUES, Metadata, QueueWorker, Scaling, Spec, TimeLimits
from windrow_operator import names
from windrow_operator.schema import DURATION_READABLE, Rule, Schema, field_schema, object_schema
from windrow_operator.statusschema import status_schema

_READABLE = f"matches(r'{DURATION_READABLE}')"
_LONGEST_NAME = 253
"""Characters that the API server lets any object's name have."""

_RULES: dict[type[BaseModel], list[Rule]] = {
    TimeLimits: [
        {
            "rule": "!has(self.soft) || !has(self.hard) || self.soft.size() == 0 || self.hard.size() == 0 || "
            f"!self.soft.{_READABLE} || !self.hard.{_READABLE} || duration(self.soft) < duration(self.hard)",
            "messageExpression": "'must be shorter than hard (' + self.hard + ')'",
            "message": "must be shorter than hard",
            "fieldPath": ".soft",
        }
    ],
    Scaling: [
        {
            "rule": "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
            "message": "must be at most maxReplicas",
            "fieldPath": ".minReplicas",
        }
    ],
}
"""What the model's validators ask for where two keys have to fit each other."""

_POOLS: Rule = {"rule": "self in ['prefork', 'asyncio', 'threads']", "message": POOL_MUST}
_QUEUE: Rule = {
    "rule": " && ".join(f"!self.startsWith('{beginning}')" for beginning in RESERVED_QUEUES),
    "message": QUEUE_MUST,
}
_NAME_AS_QUEUE: Rule = {
    # The one such beginning that a name can have.
    "rule": "has(self.spec.queue) || !self.metadata.name.startsWith('unacked')",
    "message": f"{QUEUE_MUST} (without spec.queue, the object's name is the queue's)",
}

_COLUMNS = [
    ("Queue", "string", ".status.queue", "The queue these workers serve."),
    ("Ready", "integer", ".status.ready", "Tasks that may start now."),
    ("In flight", "integer", ".status.inFlight", "Tasks that were taken and have not finished."),
    ("Oldest", "date", ".status.oldestSince", "How long the oldest ready task has waited."),
    ("Workers", "integer", ".status.workers", "Workers that live."),
    ("Desired", "integer", ".status.desired", "Workers that there shall be."),
    ("Mode", "string", ".status.mode", "Who decides that: Auto, Pinned or Paused."),
    ("Age", "date", ".metadata.creationTimestamp", "When the object was made."),
]


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition, as it is applied."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{names.PLURAL}.{names.GROUP}",
            "labels": {"app.kubernetes.io/name": "windrow-crds", "app.kubernetes.io/part-of": "windrow"},
            # Without the definition every QueueWorker is gone, and with it every worker: no uninstall may do that.
            "annotations": {"helm.sh/resource-policy": "keep"},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": names.PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["qw"],
                "categories": ["windrow"],
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _root()},
                    "subresources": {
                        "status": {},
                        "scale": {
                            "specReplicasPath": ".spec.replicas",
                            "statusReplicasPath": ".status.replicas",
                            "labelSelectorPath": ".status.selector",
                        },
                    },
                    "additionalPrinterColumns": [
                        {"name": name, "type": kind, "jsonPath": path, "description": meaning}
                        for name, kind, path, meaning in _COLUMNS
                    ],
                }
            ],
        },
    }


def _root() -> Schema:
    spec = object_schema(Spec, _RULES)
    pool, queue = spec["properties"]["pool"], spec["properties"]["queue"]
    del pool["enum"]  # its own message could not say why a green-thread pool is none of them
    pool["maxLength"] = 32
    pool["x-kubernetes-validations"] = [_POOLS]
    queue["x-kubernetes-validations"].append(_QUEUE)
    name = field_schema(Metadata.model_fields["name"], {})
    longest, name["maxLength"] = name["maxLength"], _LONGEST_NAME
    too_long = {"rule": f"self.size() <= {longest}", "message": f"must have at most {longest} characters"}
    name["x-kubernetes-validations"].append(too_long)
    return {
        "type": "object",
        "description": (QueueWorker.__doc__ or "").strip(),
        "properties": {
            "apiVersion": {"type": "string", "description": QueueWorker.model_fields["api_version"].description},
            "kind": {"type": "string", "description": QueueWorker.model_fields["kind"].description},
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": {**spec, "description": QueueWorker.model_fields["spec"].description, "default": {}},
            "status": status_schema(),
        },
        "x-kubernetes-validations": [_NAME_AS_QUEUE],
    }


def text() -> str:
    """The CustomResourceDefinition as YAML, with a first line that says where it comes from."""
    made = yaml.safe_dump(crd(), sort_keys=False, width=120, allow_unicode=True)
    return f"# Made from the model by `python -m windrow_operator.crd`; a test fails when this file is stale.\n{made}"


if __name__ == "__main__":
    sys.stdout.write(text())
