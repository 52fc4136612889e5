"""What the operator may do in a cluster: every rule with its reason, and the manifests that grant them. Pure.

`python -m windrow_operator.rbac --help` prints them for one, some or all namespaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from windrow_operator import names

Manifest = dict[str, Any]

ACCOUNT = "windrow-operator"
"""The operator's ServiceAccount, unless another one is named."""


@dataclass(frozen=True)
class Rule:
    """One rule: what may be done to what, and what for."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    reason: str
    where: Literal["watched", "own"] = "watched"
    """In every namespace it watches, or in the one it runs in."""
    named: tuple[str, ...] = ()
    """Objects it is limited to; empty: all of that resource."""

    def manifest(self) -> Manifest:
        """The rule as a Role has it."""
        rule: Manifest = {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(self.verbs)}
        return {**rule, "resourceNames": list(self.named)} if self.named else rule


CHART_HEAD = "# Made by `python -m windrow_operator.rbac --chart`; a test fails when this file is stale.\n"
_KEPT = ("get", "list", "create", "patch")
"""For what is kept as it should be: is one of that name ours, was one edited, make it, put it right. Nothing is deleted."""

RULES = (
    Rule(names.GROUP, names.PLURAL, ("list", "watch"), "To know every QueueWorker and its changes."),
    Rule(
        names.GROUP,
        f"{names.PLURAL}/status",
        ("patch",),
        "To say what it saw and decided; nothing else of a QueueWorker is written.",
    ),
    Rule(
        "apps",
        "deployments",
        ("watch", *_KEPT),
        "To keep each queue's Deployment as its spec says and as large as its queue needs.",
    ),
    Rule("policy", "poddisruptionbudgets", _KEPT, "To keep each queue's PodDisruptionBudget."),
    Rule("", "serviceaccounts", _KEPT, "To keep the account, without a token, that each queue's pods run under."),
    Rule(
        "",
        "pods",
        ("list", "watch", "patch"),
        "To see which workers are ready or in trouble, and to mark the drained ones as cheap and the busy ones as protected.",
    ),
    Rule("", "events", ("create",), "To say on the QueueWorker what went wrong."),
    Rule(
        "coordination.k8s.io",
        "leases",
        ("create",),
        "To make the Lease that says which operator leads (a create can't be limited to a name).",
        where="own",
    ),
    Rule(
        "coordination.k8s.io",
        "leases",
        ("get", "update"),
        "To win, renew and release that Lease, and no other.",
        where="own",
        named=("windrow-operator",),
    ),
)
"""What every operator needs. No object is ever deleted: owner references do that."""

POD_MONITORS = Rule("monitoring.coreos.com", "podmonitors", _KEPT, "To keep each queue's PodMonitor, only when asked to.")


def secret_rule(secrets: Sequence[str]) -> Rule:
    """The right to read Secrets, each by its name: those that a spec's `connection` names."""
    reason = "To reach the Redis of a queue that has its own: only Secrets that a spec's connection names, each by its name."
    return Rule("", "secrets", ("get",), reason, named=tuple(sorted(secrets)))


def rules(secret_names: Sequence[str] = (), pod_monitors: bool = False) -> list[Rule]:
    """Every rule of one watched namespace and of the operator's own."""
    return [*RULES, *([POD_MONITORS] if pod_monitors else []), *([secret_rule(secret_names)] if secret_names else [])]


def manifests(
    namespace: str,
    watched: Sequence[str] | None,
    *,
    account: str = ACCOUNT,
    pod_monitors: bool = False,
    secret_names: Mapping[str, Sequence[str]] | None = None,
) -> list[Manifest]:
    """The ServiceAccount in `namespace` and all its rights: in the namespaces `watched`, or in all of them when that is None.

    `secret_names` has the Secrets that specs name, by namespace: their rule is never given for more than that namespace.
    """
    secrets = secret_names or {}
    general = [rule.manifest() for rule in rules(pod_monitors=pod_monitors) if rule.where == "watched"]
    own = [rule.manifest() for rule in RULES if rule.where == "own"]
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    made: list[Manifest] = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": namespace}},
        *_granted("Role", f"{account}-lease", namespace, own, subject),
    ]
    if watched is None:
        made += _granted("ClusterRole", account, None, general, subject)
    for place in sorted({*(watched or ()), *secrets}):
        granted = general if watched is not None and place in watched else []
        named = [secret_rule(secrets[place]).manifest()] if secrets.get(place) else []
        if granted or named:
            made += _granted("Role", account, place, [*granted, *named], subject)
    return made


def chart_rules() -> dict[str, list[Manifest]]:
    """The rules as the Helm chart reads them (`charts/windrow/files/rules.yaml`)."""
    return {
        "watched": [rule.manifest() for rule in rules() if rule.where == "watched"],
        "own": [rule.manifest() for rule in RULES if rule.where == "own"],
        "podMonitors": [POD_MONITORS.manifest()],
    }


def table() -> str:
    """The rules as a table of the docs."""
    lines = ["| may | what | where | why |", "|---|---|---|---|"]
    for rule in rules(["…"], pod_monitors=True):
        resource, slash, sub = rule.resource.partition("/")
        what = f"{resource}.{rule.group}{slash}{sub}" if rule.group else rule.resource
        named = f" `{', '.join(rule.named)}`" if rule.named and rule.named != ("…",) else " by name" if rule.named else ""
        where = "each watched namespace" if rule.where == "watched" else "its own namespace"
        lines.append(f"| {', '.join(rule.verbs)} | `{what}`{named} | {where} | {rule.reason} |")
    return "\n".join(lines) + "\n"


def _granted(
    kind: Literal["Role", "ClusterRole"], name: str, namespace: str | None, granted: list[Manifest], subject: Manifest
) -> list[Manifest]:
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": f"{group}/v1", "kind": kind, "metadata": metadata, "rules": granted},
        {
            "apiVersion": f"{group}/v1",
            "kind": f"{kind}Binding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": kind, "name": name},
            "subjects": [subject],
        },
    ]


def main() -> None:
    """Print the manifests as YAML."""
    import argparse
    import sys

    import yaml

    parser = argparse.ArgumentParser(
        prog="python -m windrow_operator.rbac", description="The operator's account and its rights."
    )
    parser.add_argument("--namespace", default="windrow", help="where the operator runs [default: windrow]")
    parser.add_argument("--watch", action="append", help="a namespace it watches, again for each [default: all]")
    parser.add_argument("--account", default=ACCOUNT, help=f"its ServiceAccount [default: {ACCOUNT}]")
    parser.add_argument("--pod-monitors", action="store_true", help="it makes PodMonitors")
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAMESPACE/NAME", help="a Secret that a spec's connection names"
    )
    parser.add_argument("--table", action="store_true", help="print the rules as docs/operator.md has them")
    parser.add_argument("--chart", action="store_true", help="print the rules as charts/windrow/files/rules.yaml has them")
    given = parser.parse_args()
    if given.chart:
        sys.stdout.write(CHART_HEAD)
        yaml.safe_dump(chart_rules(), sys.stdout, sort_keys=False, width=120)
        return
    if given.table:
        sys.stdout.write(table())
        return
    secrets: dict[str, list[str]] = {}
    for secret in given.secret:
        place, slash, name = secret.partition("/")
        if not (place and slash and name):
            parser.error(f"--secret must be NAMESPACE/NAME, such as shop/redis, not {secret!r}")
        secrets.setdefault(place, []).append(name)
    made = manifests(given.namespace, given.watch, account=given.account, pod_monitors=given.pod_monitors, secret_names=secrets)
    yaml.safe_dump_all(made, sys.stdout, sort_keys=False, width=120)


if __name__ == "__main__":
    main()
