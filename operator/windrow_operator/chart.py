"""What is generated of the Helm chart: the schema of its values and the table of its README. Pure, but for `main`.

`python -m windrow_operator.chart` writes both from `charts/windrow/values.yaml` and the QueueWorker's schema; a test fails
when they are stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from windrow_operator.crd import crd

Schema = dict[str, Any]

PEOPLES = ("replicas", "paused")
"""What a person decides with kubectl; a chart that rendered it would undo that with each upgrade."""
_TIGHTER: dict[str, Schema] = {
    "image.pullPolicy": {"enum": ["Always", "IfNotPresent", "Never"]},
    "operator.replicas": {"minimum": 1, "maximum": 5},
    "server.replicas": {"minimum": 1, "maximum": 10},
    "server.port": {"minimum": 1024, "maximum": 65535},
    "redis.url": {"pattern": "^(rediss?://.+)?$"},
    "postgresql.url": {"pattern": r"^(postgres(ql)?(\+asyncpg)?://.+)?$"},
    "redis.evaluation.maxMemory": {"pattern": "^[0-9]+(kb|mb|gb)$"},
}
"""What a value must be, beyond the kind of its default."""
_QUEUE_NAME = "^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$"
_FIRST_MATCH = re.compile(r"self\.matches\(r'(.*?)'\)")
_ONE_OF = re.compile(r"^self in \[(.*)\]$")


def values_schema(values: dict[str, Any]) -> Schema:
    """The JSON schema of the chart's values: the kinds of the defaults, no unknown keys, QueueWorkers by their own schema."""
    schema = _of("", values)
    spec = _plain(crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
    for name in PEOPLES:
        spec["properties"].pop(name)
    spec["type"] = ["object", "null"]
    schema["properties"]["queues"] = {"type": "object", "patternProperties": {_QUEUE_NAME: spec}, "additionalProperties": False}
    schema["properties"]["global"] = {"type": "object"}
    return {"$schema": "https://json-schema.org/draft-07/schema#", "title": "Values of the chart windrow", **schema}


def _of(path: str, value: Any) -> Schema:
    tighter = _TIGHTER.get(path, {})
    if isinstance(value, dict):
        if not value or path.rpartition(".")[2] in ("resources", "labels"):  # Kubernetes' own; the API server knows it best
            return {"type": "object"}
        inner = {key: _of(f"{path}.{key}".lstrip("."), one) for key, one in value.items()}
        return {"type": "object", "properties": inner, "additionalProperties": False}
    if isinstance(value, bool):
        return {"type": "boolean", **tighter}
    if isinstance(value, int):
        return {"type": "integer", **tighter}
    if isinstance(value, list):
        return {"type": "array", **tighter}
    return {"type": "string", **tighter}


def _plain(schema: Schema) -> Schema:
    """A CRD's schema as a JSON schema: the rules that a pattern can say, and what the API server would drop is refused."""
    kept = ("type", "description", "minimum", "maximum", "maxLength", "maxItems", "required")
    made: Schema = {key: schema[key] for key in kept if key in schema}
    for rule in schema.get("x-kubernetes-validations", ()):
        found, choice = _FIRST_MATCH.search(rule["rule"]), _ONE_OF.match(rule["rule"])
        if choice:
            made["enum"] = json.loads(f"[{choice[1]}]".replace("'", '"'))
        elif found and "pattern" not in made and schema.get("type") == "string":
            made["pattern"] = found[1]
    if "properties" in schema:
        made["properties"] = {key: _plain(one) for key, one in schema["properties"].items()}
        made["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if isinstance(schema.get("additionalProperties"), dict):
        made["additionalProperties"] = _plain(schema["additionalProperties"])
    if "items" in schema:
        made["items"] = _plain(schema["items"])
    if schema.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    return made


def table(text: str) -> str:
    """The values as a table: each key with its default and the comment above it."""
    rows = ["| value | default | |", "|---|---|---|"]
    rows += [f"| `{path}` | `{default}` | {comment} |" for path, default, comment in _commented(text)]
    return "\n".join(rows) + "\n"


def _commented(text: str) -> Iterator[tuple[str, str, str]]:
    above: list[tuple[int, str]] = []
    comments: list[str] = []
    pending = ""
    for line in text.splitlines():
        bare = line.strip()
        if bare.startswith("#"):
            comments.append(bare.removeprefix("#").strip())
            continue
        found = re.match(r"^( *)([A-Za-z][\w-]*):(?: (.*))?$", line)
        if found is None:
            comments = []
            continue
        depth, key, default = len(found[1]), found[2], (found[3] or "").strip()
        above = [one for one in above if one[0] < depth]
        path = ".".join([*(name for _, name in above), key])
        comment = " ".join(comments).replace("|", "\\|")
        comments = []
        if default:
            yield path, default, " ".join(filter(None, (pending if depth and not comment else "", comment)))
            pending = ""
        else:
            above.append((depth, key))
            pending = comment


README_HEAD = """# windrow

<!-- Made by `python -m windrow_operator.chart`; a test fails when it is stale. -->

Operator, servers and QueueWorkers, and, while nothing says where others are, a Redis and a PostgreSQL for evaluation.

```sh
helm install windrow charts/windrow --namespace windrow --create-namespace
```

Upgrades, the definition of QueueWorkers, external databases and all else: `docs/helm.md`.

## Values

"""


def main() -> None:
    """Write the schema and the README beside the values."""
    folder = Path(__file__).parents[2] / "charts" / "windrow"
    text = (folder / "values.yaml").read_text()
    for name, made in generated(text).items():
        (folder / name).write_text(made)


def generated(text: str) -> dict[str, str]:
    """The generated files' names and contents, from the text of `values.yaml`."""
    schema = json.dumps(values_schema(yaml.safe_load(text)), indent=1) + "\n"
    return {"values.schema.json": schema, "README.md": README_HEAD + table(text)}


if __name__ == "__main__":
    main()
