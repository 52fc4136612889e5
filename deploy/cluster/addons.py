"""What runs in the cluster from the start: names for services, and the class of its volumes. Pure."""

from __future__ import annotations

from typing import Any

from deploy.cluster.layout import COREDNS_IMAGE, DNS_SERVICE, DOMAIN
from deploy.cluster.volumes import STORAGE_CLASS

_NAMESPACE = "kube-system"
POLICIES = "windrow:network-policies"
"""The one who enforces network policies, to the API server."""
_LABELS = {"k8s-app": "kube-dns"}

COREFILE = f"""{DOMAIN} in-addr.arpa {{
    errors
    ready :8181
    health :8080
    kubernetes {DOMAIN} in-addr.arpa {{
        pods insecure
    }}
    cache 5
}}
. {{
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
"""Other names than the cluster's do not exist: nothing here asks another name server."""


def objects() -> list[dict[str, Any]]:
    """All of them, to be applied."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": STORAGE_CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Retain",
        },
        _object("v1", "ServiceAccount", "coredns"),
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", "windrow:coredns", namespace=None)
        | {
            "rules": [
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ]
        },
        _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "windrow:coredns", namespace=None)
        | {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "windrow:coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": _NAMESPACE}],
        },
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", POLICIES, namespace=None)
        | {
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "services", "pods", "namespaces", "nodes"],
                    "verbs": ["get", "list", "watch"],
                },
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
                {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["get", "list", "watch"]},
            ]
        },
        _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", POLICIES, namespace=None)
        | {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": POLICIES},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": POLICIES}],
        },
        _object("v1", "ConfigMap", "coredns") | {"data": {"Corefile": COREFILE}},
        _object("apps/v1", "Deployment", "coredns")
        | {
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": _pod()},
            }
        },
        _object("v1", "Service", "kube-dns")
        | {
            "spec": {
                "clusterIP": DNS_SERVICE,
                "selector": _LABELS,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
                ],
            }
        },
    ]


def _object(version: str, kind: str, name: str, namespace: str | None = _NAMESPACE) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": dict(_LABELS)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _pod() -> dict[str, Any]:
    return {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "coredns",
                "image": COREDNS_IMAGE,
                "imagePullPolicy": "Never",
                "args": ["-conf", "/etc/coredns/Corefile"],
                "ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "failureThreshold": 6},
                "resources": {"requests": {"cpu": "20m", "memory": "40Mi"}, "limits": {"memory": "200Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
            }
        ],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
