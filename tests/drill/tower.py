"""Prometheus and Alertmanager as processes of the drill, with the shipped rules, scraping every second."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.processes import ROOT, free_port
from tests.drill.desk import alert_of
from tests.drill.judge import Alert, Episode
from windrow.local.processes import launch, log_tail, stop

PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager")
SCRAPE = "1s"


class NotInstalled(RuntimeError):
    """Prometheus and Alertmanager must be installed."""


def programs() -> dict[str, str]:
    """Where the programs are; raises NotInstalled with one sentence."""
    found = {name: shutil.which(name) or shutil.which(name.removeprefix("prometheus-")) for name in PROGRAMS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise NotInstalled(
            f"the drill must find {', '.join(PROGRAMS)} on the PATH, and {', '.join(missing)} is not there; "
            "install them, on Debian with `apt-get install prometheus prometheus-alertmanager`"
        )
    return {name: str(path) for name, path in found.items()}


class Tower:
    """Both, and what Prometheus has shown as firing since the last `forget`."""

    def __init__(self, folder: Path, desk_port: int, factor: float, shipped: Path | None = None) -> None:
        """`shipped` is a folder with the rendered files; without it they are rendered with `factor`."""
        self.folder, self.desk_port, self.factor, self._shipped = folder / "monitoring", desk_port, factor, shipped
        self._programs = programs()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._shown: dict[Alert, Episode] = {}
        self.url = ""

    def start(self) -> None:
        """Render the shipped files, check them, start both and wait until they answer."""
        self.folder.mkdir()
        rendered = self._shipped or self._render()
        rules = next(rendered.rglob("windrow.yaml"))
        subprocess.run([self._programs["promtool"], "check", "rules", str(rules)], check=True, stdout=subprocess.DEVNULL)
        alerting = free_port()
        self._alertmanager(next(rendered.rglob("alertmanager.yaml")), alerting)
        self._prometheus(rules, alerting)

    def _render(self) -> Path:
        out = self.folder / "shipped"
        command = [sys.executable, "-m", "deploy.monitoring", "--factor", f"{self.factor:g}", "--out", str(out)]
        subprocess.run(command, cwd=ROOT, check=True)
        return out

    def _alertmanager(self, shipped: Path, port: int) -> None:
        config = yaml.safe_load(shipped.read_text(encoding="utf-8"))
        path = self.folder / "alertmanager.yaml"
        path.write_text(yaml.safe_dump(received_by_the_drill(config, self.desk_port)), encoding="utf-8")
        command = [self._programs["prometheus-alertmanager"], f"--config.file={path}", f"--storage.path={self.folder / 'am'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn"]
        self._run("alertmanager", command, f"http://127.0.0.1:{port}/-/ready")

    def _prometheus(self, rules: Path, alerting: int) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        path = self.folder / "prometheus.yaml"
        path.write_text(yaml.safe_dump(scraping(rules, alerting, self.desk_port)), encoding="utf-8")
        command = [self._programs["prometheus"], f"--config.file={path}", f"--storage.tsdb.path={self.folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        # As far back as five missed scrapes, as Prometheus' own five minutes are for a scrape a minute.
        command += [f"--query.lookback-delta={max(5, round(300 / self.factor))}s"]
        self._run("prometheus", command, f"{self.url}/-/ready")

    def _run(self, name: str, command: list[str], ready: str) -> None:
        log = self.folder / f"{name}.log"
        process = launch(command, log=log, death_signal=signal.SIGKILL)
        self._processes.append(process)
        deadline = time.monotonic() + 30
        while True:
            with suppress(OSError), urllib.request.urlopen(ready, timeout=2):
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} must be ready within 30 s, and was not: {log_tail(log)}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End both."""
        for process in self._processes:
            stop(process, ((signal.SIGTERM, 10.0),))

    # --- asking ----------------------------------------------------------------------------------------------------------

    def api(self, path: str, **query: str) -> Any:
        """What Prometheus' API answers; raises OSError, and ValueError with its sentence when it refuses."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise ValueError(f"Prometheus must answer {path} {query}, and says: {error.read().decode()[:300]}") from error

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression."""
        found: list[dict[str, Any]] = self.api("query", query=expression)["result"]
        return found

    def look(self) -> dict[Alert, Episode]:
        """Ask what fires now; everything that was shown since the last `forget`."""
        now = time.monotonic()
        firing = {alert_of(one["labels"]) for one in self.api("alerts")["alerts"] if one["state"] == "firing"}
        self._shown = followed(self._shown, firing, now)
        return self._shown

    def forget(self) -> None:
        """Begin a new phase: what has gone is forgotten."""
        self._shown = {alert: one for alert, one in self._shown.items() if one.gone is None}


def followed(shown: dict[Alert, Episode], firing: Iterable[Alert], now: float) -> dict[Alert, Episode]:
    """What was shown, brought up to what fires `now`; pure."""
    current = set(firing)
    found = {alert: Episode(one.fired, None if alert in current else one.gone or now) for alert, one in shown.items()}
    return {**found, **{alert: Episode(now) for alert in current - shown.keys()}}


def received_by_the_drill(config: dict[str, Any], port: int) -> dict[str, Any]:
    """The shipped Alertmanager configuration with the drill as everybody's receiver; grouping and inhibition are as shipped."""
    receiver = {"url": f"http://127.0.0.1:{port}/", "send_resolved": True, "max_alerts": 0}
    names = [one["name"] for one in config["receivers"]]
    return {**config, "receivers": [{"name": name, "webhook_configs": [receiver]} for name in names]}


def scraping(rules: Path, alerting: int, port: int) -> dict[str, Any]:
    """Prometheus' configuration: everything every second, targets and addresses from the drill's desk."""
    return {
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": SCRAPE},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alerting}"]}]}]},
        "scrape_configs": [
            {
                "job_name": "windrow",
                "http_sd_configs": [{"url": f"http://127.0.0.1:{port}/sd", "refresh_interval": SCRAPE}],
                "relabel_configs": [{"source_labels": ["__meta_windrow_role"], "target_label": "role"}],
            }
        ],
    }
