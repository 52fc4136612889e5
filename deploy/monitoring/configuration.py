"""The files that Prometheus and Alertmanager read, as data: rules, inhibition, and what a Prometheus of one's own needs."""

from __future__ import annotations

from typing import Any

from deploy.monitoring.alerts import ALERTS, RUNBOOKS, Alert
from deploy.monitoring.inhibition import INHIBITIONS
from deploy.monitoring.recording import recorded
from deploy.monitoring.windows import Windows


def rules(windows: Windows, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """A rule file of Prometheus; its `groups` are also a PrometheusRule's spec."""
    interval = {"interval": windows("30s")}
    return {
        "groups": [
            {
                "name": "windrow.recording",
                **interval,
                "rules": [{"record": rule.name, "expr": rule.expr} for rule in recorded(windows)],
            },
            {"name": "windrow.alerts", **interval, "rules": [_alert(alert, windows, runbooks) for alert in ALERTS]},
        ]
    }


def _alert(alert: Alert, windows: Windows, runbooks: str) -> dict[str, Any]:
    lasting = {} if alert.lasting == "0s" else {"for": windows(alert.lasting)}
    return {
        "alert": alert.name,
        "expr": alert.expr(windows),
        **lasting,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{runbooks.rstrip('/')}/{alert.name}.md",
        },
    }


def inhibit_rules() -> list[dict[str, Any]]:
    """What stands under `inhibit_rules` in Alertmanager's configuration."""
    return [
        {
            "source_matchers": [f'alertname="{one.source}"'],
            "target_matchers": [f'alertname=~"{"|".join(one.targets)}"'],
            "equal": ["installation", "queue"] if one.same_queue else ["installation"],
        }
        for one in INHIBITIONS
    ]


def alertmanager(windows: Windows, webhook: str | None = None) -> dict[str, Any]:
    """A configuration of Alertmanager: pages and tickets apart, inhibition; `webhook`: where both are sent, else nowhere."""
    told: dict[str, Any] = {} if webhook is None else {"webhook_configs": [{"url": webhook, "send_resolved": True}]}
    return {
        "route": {
            "receiver": "ticket",
            "group_by": ["alertname", "installation", "queue"],
            "group_wait": windows("30s"),
            "group_interval": windows("1m"),
            "repeat_interval": windows("4h"),
            "routes": [{"matchers": ['severity="critical"'], "receiver": "page"}],
        },
        "receivers": [{"name": "page", **told}, {"name": "ticket", **told}],
        "inhibit_rules": inhibit_rules(),
    }


def prometheus(windows: Windows, server: str, alertmanager: str) -> dict[str, Any]:
    """A configuration of a Prometheus for one machine: `server` is Windrow's (`host:port`), which names all to be scraped."""
    return {
        "global": {"scrape_interval": interval_of(windows), "evaluation_interval": interval_of(windows)},
        "rule_files": ["rules/windrow.yaml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]},
        "scrape_configs": [
            {
                "job_name": "windrow",
                "http_sd_configs": [{"url": f"http://{server}/sd", "refresh_interval": interval_of(windows, "5s")}],
                "relabel_configs": [{"source_labels": ["__meta_windrow_role"], "target_label": "role"}],
            }
        ],
    }


def interval_of(windows: Windows, nominal: str = "15s") -> str:
    """An interval divided by the factor, but a second at least: more often nothing is new."""
    return windows(nominal) if windows.seconds(nominal) >= 1 else "1s"
