"""The examples and the compose file: what they name exists, and what they say is accepted."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workers import ROOT
from windrow import __version__
from windrow.cli.group import _COMMANDS
from windrow.queues import derive, load_specs
from windrow.queues.model import QueueWorker
from windrow.queues.quantities import parse_duration

EXAMPLES = ROOT / "deploy/examples"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text(encoding="utf-8"))
SETTINGS = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
OURS = {name: one for name, one in COMPOSE["services"].items() if one["image"].startswith("windrow/")}


def objects(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """Every object of a kind that an example holds, and the file that it stands in."""
    return [
        (str(path.relative_to(EXAMPLES)), one)
        for path in sorted(EXAMPLES.rglob("*.yaml"))
        for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if isinstance(one, dict) and one.get("kind") == kind
    ]


@pytest.mark.parametrize(
    ("file", "document"), objects("QueueWorker"), ids=lambda value: value if isinstance(value, str) else ""
)
def test_every_queueworker_is_valid(file: str, document: dict[str, Any]) -> None:
    """As `windrow up` and the API server would say."""
    QueueWorker.model_validate(document)


def test_a_file_for_a_laptop_is_one_for_a_cluster() -> None:
    """`windrow up` reads the project's queues as kubectl applies them."""
    (spec,) = load_specs(EXAMPLES / "own-project/queues.yaml")
    assert spec.spec.app == "shop.celery:app"


def test_the_dockerfile_for_own_tasks_has_three_lines() -> None:
    """More is not needed."""
    lines = (EXAMPLES / "own-tasks/Dockerfile").read_text(encoding="utf-8").splitlines()
    assert [line.split()[0] for line in lines] == ["ARG", "FROM", "COPY"]


@pytest.mark.parametrize("path", ["deploy/Dockerfile", "deploy/compose.yaml", "deploy/examples/own-tasks/Dockerfile"])
def test_every_file_names_this_release(path: str) -> None:
    """What a newcomer copies is of the release at hand."""
    named = re.findall(r"windrow/windrow:(\d+\.\d+\.\d+)", (ROOT / path).read_text(encoding="utf-8"))
    assert named
    assert set(named) == {__version__}


@pytest.mark.parametrize("name", OURS)
def test_compose_runs_commands_that_exist_with_settings_that_are_documented(name: str) -> None:
    """Each service of ours: a command of `windrow`, and variables of docs/settings.md."""
    service = OURS[name]
    assert service["command"][0] in {command for command, _, _ in _COMMANDS}
    for variable in service["environment"]:
        assert f"`{variable}`" in SETTINGS, variable
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_compose_serves_the_default_queues_as_the_chart_does() -> None:
    """A worker for each, whose grace is its hard limit and 40 s."""
    values = yaml.safe_load((ROOT / "charts/windrow/values.yaml").read_text(encoding="utf-8"))
    assert set(values["queues"]) <= set(COMPOSE["services"])
    spec = json.loads(COMPOSE["services"]["long-running"]["environment"]["WINDROW_SPEC"])
    assert spec["spec"] == values["queues"]["long-running"]
    for name, own in values["queues"].items():
        document = {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": name}, "spec": own}
        grace = derive(QueueWorker.model_validate(document)).termination_grace_s
        assert parse_duration(COMPOSE["services"][name]["stop_grace_period"]) >= grace, name


def test_compose_shows_no_password_in_an_argument() -> None:
    """`ps` would show it to everybody on the machine."""
    for service in COMPOSE["services"].values():
        assert "PASSWORD:-" not in json.dumps(service.get("command", ""))
        # A shell before the server would keep SIGTERM from it.
        assert service.get("command", [""])[0] != "sh"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/README.md")), ids=lambda path: path.parent.name)
def test_what_a_readme_names_is_there(path: Path) -> None:
    """Files of the repository that its commands take."""
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:deploy|charts|docs)/[\w./-]+", text):
        assert (ROOT / name.rstrip(".")).exists(), name
