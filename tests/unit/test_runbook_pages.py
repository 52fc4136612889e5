"""A runbook for each alert, whole, short, and naming only what there is."""

from __future__ import annotations

import itertools
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.monitoring import oncall
from deploy.monitoring.alerts import ALERTS
from deploy.monitoring.recording import recorded
from deploy.monitoring.windows import Windows
from tests.runbooks import SECTIONS, commands, kinds, pages, sections
from windrow.metrics.catalogue import BY_NAME

ROOT = Path(__file__).parents[2]
CHARTS = ROOT / "charts/windrow/templates"
PAGES = pages()
VERBS = {
    "apply", "auth", "delete", "describe", "edit", "exec", "get", "logs", "patch", "rollout", "scale",
}  # fmt: skip
RESOURCES = {
    "deploy", "events", "lease", "nodes", "pod", "pods", "podmonitors", "pvc", "queueworker", "queueworkers", "statefulset",
}  # fmt: skip
VARIABLES = {"QUEUE", "NAME", "NAMESPACE", "SERVER", "ID", "TASK", "POD", "OTHER"}


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    """An alert without a runbook wakes somebody for nothing; a page without an alert is read by nobody."""
    assert set(PAGES) == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_five_sections_in_their_order(page: str) -> None:
    """Meaning, what users feel, how to look, to mend, to prevent; none is empty, and looking and mending are concrete."""
    found = sections(PAGES[page])
    assert PAGES[page].startswith(f"# {page}\n")
    assert tuple(found) == SECTIONS
    assert all(len(text) > 25 for text in found.values())
    assert "```bash" in found["How to look"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_fits_on_two_screens(page: str) -> None:
    """Who was woken reads little."""
    assert PAGES[page].count("\n") < 110


@pytest.mark.parametrize("page", PAGES)
def test_a_pages_links_lead_somewhere(page: str) -> None:
    """Other runbooks, and pages with their headings."""
    here = ROOT / "deploy/monitoring/runbooks"
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        file, _, heading = target.partition("#")
        assert (here / file).exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", (here / file).read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", said).lower().replace(" ", "-") for said in headings}, target


def test_every_fence_is_of_a_kind_that_a_test_looks_at() -> None:
    """`bash` is run, `bash kubectl` checked here, `promql` parsed."""
    assert kinds() == {"bash", "bash kubectl", "promql"}


def test_every_variable_is_explained() -> None:
    """The names that commands use are set in docs/oncall.md, or said on their page."""
    used = {name for command in commands("bash", "bash kubectl") for name in re.findall(r"\$([A-Z]+)", command.line)}
    assert used == VARIABLES
    told = (ROOT / "docs/oncall.md").read_text(encoding="utf-8")
    assert {name for name in VARIABLES if f"{name}=" not in told} == set()


def _made_by_the_chart() -> tuple[set[str], set[str], set[str]]:
    """Object names of a release called windrow, its containers, and its components."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in CHARTS.glob("*.yaml"))
    names = set(re.findall(r'\{\{ include "windrow\.name" \. \}\}(-\w+)', text))
    names |= set(re.findall(r'printf "%s(-\w+)" \(include "windrow\.name" \.\)', text))
    containers = set(re.findall(r"^ +- name: (\w+)$", text, re.MULTILINE))
    return {f"windrow{name}" for name in names}, containers, set(re.findall(r'"component" "(\w+)"', text))


@pytest.mark.parametrize("line", sorted({command.line for command in commands("bash kubectl")}))
def test_a_kubectl_line_names_what_the_charts_make(line: str) -> None:
    """Verb, kind, object, container and label of each line exist in a release called windrow."""
    names, containers, components = _made_by_the_chart()
    words = shlex.split(line)
    assert words.pop(0) == "kubectl"
    if words[0] == "--namespace":
        assert words[1] == "$NAMESPACE"
        words = words[2:]
    verb = words.pop(0)
    assert verb in VERBS
    if verb in ("rollout", "auth"):
        assert words.pop(0) in ("restart", "status", "can-i")
    if verb == "apply":
        assert words[:1] == ["--filename"]
        return
    if words[0] == "update":
        words.pop(0)
    said = words[0] if verb != "logs" or not words[0].startswith("--") else "pods"
    kind, _, name = said.partition("/")
    assert kind.partition(".")[0] in {*RESOURCES, "leases"}, said
    if name:
        assert name in {*names, "windrow-operator"}, said
    for flag, value in itertools.pairwise(words):
        if flag == "--container":
            assert value in containers
        if flag == "--selector":
            label, _, of = value.partition("=")
            assert label in ("windrow.dev/queueworker", "app.kubernetes.io/component", "app.kubernetes.io/part-of")
            assert label != "app.kubernetes.io/component" or of in components
        if flag == "--patch":
            assert set(yaml.safe_load(value)["spec"]) <= {"template", "scaling"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not there")
def test_every_expression_is_promql(tmp_path: Path) -> None:
    """What is to be pasted into Prometheus is parsed by its own tool."""
    rules = [{"record": f"check:{number}", "expr": command.line} for number, command in enumerate(commands("promql"))]
    assert rules
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "runbooks", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_that_a_page_names_is_in_the_catalogue() -> None:
    """A metric or recording rule that is renamed takes the runbooks' words with it."""
    named = {name for page in PAGES.values() for name in re.findall(r"\bwindrow_[a-z_]+", page)} - {"windrow_tasks"}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in named} - set(BY_NAME) == set()
    rules = {name for page in PAGES.values() for name in re.findall(r"\bwindrow:[a-z_]+:\w+", page)}
    assert rules - {rule.name for rule in recorded(Windows())} == set()


def test_pages_repeat_the_rules_as_they_are() -> None:
    """`python -m deploy.monitoring.oncall` would write what is there: expression, severity, what holds it back."""
    stale = [path.name for path, text in oncall.pages().items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python -m deploy.monitoring.oncall"
