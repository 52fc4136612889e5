"""Rules, alerts and inhibition: generated, current, true to the catalogue, and each alert tested both ways by promtool."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from deploy.monitoring.__main__ import ROOT, files, repository
from deploy.monitoring.alerts import ALERTS, BY_NAME
from deploy.monitoring.cases import CASES
from deploy.monitoring.inhibition import INHIBITIONS
from deploy.monitoring.recording import recorded
from deploy.monitoring.windows import Windows
from windrow.metrics import catalogue

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="*** NO ALERT WAS TESTED: promtool (Debian's package prometheus) must be installed, and is not ***"
)

WORD = re.compile(r"\b(windrow_[a-z_]+|windrow:[a-z_:0-9]+)")
MATCHED = re.compile(r"(windrow_[a-z_]+)\{([^}]*)\}")


def expressions(factor: float = 1.0) -> Iterator[tuple[str, str]]:
    for rule in recorded(Windows(factor)):
        yield rule.name, rule.expr
    for alert in ALERTS:
        yield alert.name, alert.expr(Windows(factor))


def checked(*command: str) -> str:
    ran = subprocess.run([str(PROMTOOL), *command], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("path", repository(), ids=str)
def test_files_are_current(path: Path) -> None:
    """`python -m deploy.monitoring` makes them; by hand nothing is changed in them."""
    assert (ROOT / path).read_text() == repository()[path]


@needs_promtool
@pytest.mark.parametrize("factor", [1.0, 60.0])
def test_promtool_accepts_the_rules(factor: float, tmp_path: Path) -> None:
    """At every length of the windows; nothing is left to say."""
    for name, text in files(Windows(factor)).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert "SUCCESS" in checked("check", "rules", str(tmp_path / "rules/windrow.yaml"))
    assert "SUCCESS" in checked("check", "config", str(tmp_path / "prometheus.yaml"))


@needs_promtool
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_each_alert_fires_for_its_cause_and_for_nothing_close_by() -> None:
    """promtool plays the cases: labels, summaries and figures, and which others fire."""
    checked("test", "rules", str(ROOT / "deploy/monitoring/rules/windrow.test.yaml"))


@pytest.mark.parametrize("alert", BY_NAME)
def test_each_alert_has_a_case(alert: str) -> None:
    """It fires in at least one; the cases in which nothing fires stand beside them."""
    assert any(alert in case.fires for case in CASES)
    assert sum(not case.fires for case in CASES) >= len(ALERTS)


def test_rules_read_only_what_there_is() -> None:
    """Each metric is in the catalogue, each recorded name is recorded before it is read, each label is its metric's own."""
    seen: set[str] = set()
    for name, expr in expressions():
        for word in WORD.findall(expr):
            assert word in catalogue.BY_NAME or word in seen, f"{name} reads {word}"
        for metric, matchers in MATCHED.findall(expr):
            for label in re.findall(r"(\w+)\s*[=!]", matchers):
                assert label in catalogue.BY_NAME[metric].labels, f"{name} asks {metric} for {label}"
        seen.add(name)


def test_counts_rest_on_exact_totals() -> None:
    """A worker that is killed takes its live counters with it: no alert but the comparison of the two rests on them."""
    live = {metric.name for metric in catalogue.CATALOGUE if metric.exporter == "worker"}
    assert [name for name, expr in expressions() if live & set(WORD.findall(expr))] == ["WindrowFiguresApart"]


def test_every_window_is_scaled() -> None:
    """A factor divides each window, each offset and each `for` alike."""
    lengths = re.compile(r"\[([^\]]+)\]|offset (\w+)")
    for (name, plain), (_, scaled) in zip(expressions(), expressions(60.0), strict=True):
        before = [Windows().seconds(window or back) for window, back in lengths.findall(plain)]
        after = [Windows().seconds(window or back) for window, back in lengths.findall(scaled)]
        assert [60 * seconds for seconds in after] == before, name
    for alert in ALERTS:
        assert 60 * Windows(60.0).seconds(alert.lasting) == Windows().seconds(alert.lasting)


def test_alerts_say_what_and_whom() -> None:
    """The summary names the queue, where its rule keeps one, and a figure; severities are the two that there are."""
    for alert in ALERTS:
        assert alert.severity in ("critical", "warning")
        assert alert.summary.endswith(".")
        assert alert.about_queue == ("queue" in alert.expr(Windows()).split(")")[0] or "windrow:" in alert.expr(Windows()))


def test_no_ticket_silences_a_page() -> None:
    """A warning that inhibited a critical alert would let whoever is on call sleep on."""
    for one in INHIBITIONS:
        for target in one.targets:
            severities = (BY_NAME[one.source].severity, BY_NAME[target].severity)
            assert severities != ("warning", "critical"), f"{one.source} silences {target}"
            assert one.source != target
        assert not one.same_queue or BY_NAME[one.source].about_queue


def test_nobody_silences_in_a_circle() -> None:
    """Two that silenced one another would both be heard by nobody."""
    silenced = {(one.source, target) for one in INHIBITIONS for target in one.targets}
    assert not [pair for pair in silenced if pair[::-1] in silenced]


def test_what_is_inhibited_is_written_down() -> None:
    """Alertmanager reads the same rules."""
    written = yaml.safe_load(files(Windows())["alertmanager.yaml"])["inhibit_rules"]
    assert len(written) == len(INHIBITIONS)
    assert all("installation" in rule["equal"] for rule in written)


@pytest.mark.parametrize(
    ("nominal", "factor", "written"), [("5m", 1, "5m"), ("5m", 60, "5s"), ("30s", 60, "500ms"), ("3d", 60, "72m")]
)
def test_windows_are_divided(nominal: str, factor: float, written: str) -> None:
    """To the millisecond, as Prometheus writes lengths of time."""
    assert Windows(factor)(nominal) == written


def test_a_window_below_a_millisecond_is_refused() -> None:
    """With what was given."""
    with pytest.raises(ValueError, match="a window must be at least 1 ms long, and 30s divided by 100000 is not"):
        Windows(100_000)("30s")


def test_files_for_another_place(tmp_path: Path) -> None:
    """The command of docs/oncall.md writes its addresses where they belong, and nothing into the repository."""
    text = (ROOT / "docs/oncall.md").read_text()
    (command,) = re.findall(r"^python -m deploy\.monitoring (--out(?:.|\n)*?)^```", text, re.MULTILINE)
    given = ["--out", str(tmp_path), *command.replace("\\\n", " ").split()[2:]]
    subprocess.run([sys.executable, "-m", "deploy.monitoring", *given], cwd=ROOT, check=True)
    rules, config = (yaml.safe_load((tmp_path / name).read_text()) for name in ("rules/windrow.yaml", "prometheus.yaml"))
    manager = yaml.safe_load((tmp_path / "alertmanager.yaml").read_text())
    addresses = {rule["annotations"]["runbook_url"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule}
    assert addresses == {f"https://wiki.example/runbooks/{alert.name}.md" for alert in ALERTS}
    assert config["scrape_configs"][0]["http_sd_configs"][0]["url"] == "http://10.0.0.5:8080/sd"
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["10.0.0.6:9093"]
    assert {one["webhook_configs"][0]["url"] for one in manager["receivers"]} == {"https://pager.example/hook"}


def test_files_that_the_page_names_are_there() -> None:
    """Those of the commands for one machine."""
    named = re.findall(r"--config\.file=(\S+)", (ROOT / "docs/oncall.md").read_text())
    assert len(named) == 2
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.parametrize("factor", ["0", "-1", "often", "nan"])
def test_a_factor_that_is_none_is_refused(factor: str) -> None:
    """In one sentence, and nothing is written."""
    command = [sys.executable, "-m", "deploy.monitoring", "--out", "/nowhere", f"--factor={factor}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.endswith(f"--factor: must be a number above 0 and at most 1000, not '{factor}'\n")
