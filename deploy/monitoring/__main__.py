"""`python -m deploy.monitoring`: write what Prometheus and Alertmanager read.

Without options: the files of the repository, and the chart's copy. With `--out` into another folder, with windows of another
length (`--factor 60`: an hour becomes a minute), another place for runbooks, or addresses of one's own.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.monitoring.alerts import RUNBOOKS
from deploy.monitoring.cases import promtool
from deploy.monitoring.configuration import alertmanager, prometheus, rules
from deploy.monitoring.windows import Windows

ROOT = Path(__file__).parents[2]
HEAD = "# Made by `python -m deploy.monitoring`; a test fails when this file is stale.\n"
SERVER, ALERTMANAGER = "127.0.0.1:8080", "127.0.0.1:9093"


def files(
    windows: Windows,
    runbooks: str = RUNBOOKS,
    server: str = SERVER,
    manager: str = ALERTMANAGER,
    webhook: str | None = None,
) -> Mapping[str, str]:
    """Every file, by its path in deploy/monitoring."""
    return {
        "rules/windrow.yaml": _text(rules(windows, runbooks)),
        "alertmanager.yaml": _text(alertmanager(windows, webhook)),
        "prometheus.yaml": _text(prometheus(windows, server, manager)),
    }


def repository() -> Mapping[Path, str]:
    """Every file of the repository that is made here, by its path from the root."""
    made = files(Windows())
    here = {Path("deploy/monitoring") / path: text for path, text in made.items()}
    here[Path("deploy/monitoring/rules/windrow.test.yaml")] = _text(promtool())
    return here | {Path("charts/windrow/files/monitoring/rules.yaml"): made["rules/windrow.yaml"]}


def _text(data: Any) -> str:
    return HEAD + yaml.safe_dump(data, sort_keys=False, width=10_000, allow_unicode=True)


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m deploy.monitoring", description=__doc__)
    parser.add_argument("--out", type=Path, help="another folder than the repository's")
    parser.add_argument("--factor", type=_factor, default=1.0, help="divides every window and every `for`")
    parser.add_argument("--runbooks", default=RUNBOOKS, help="where runbooks are read")
    parser.add_argument("--server", default=SERVER, help="host:port of Windrow's server")
    parser.add_argument("--alertmanager", default=ALERTMANAGER, help="host:port of Alertmanager")
    parser.add_argument("--webhook", help="URL that alerts are sent to")
    given = parser.parse_args()
    if given.out is None:
        made = {ROOT / path: text for path, text in repository().items()}
    else:
        texts = files(Windows(given.factor), given.runbooks, given.server, given.alertmanager, given.webhook)
        made = {given.out / path: text for path, text in texts.items()}
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= 1000:
        raise argparse.ArgumentTypeError(f"must be a number above 0 and at most 1000, not {text!r}")
    return factor


if __name__ == "__main__":
    main()
