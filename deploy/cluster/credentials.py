"""A cluster's keys, certificates, tokens and kubeconfigs, made anew for each cluster."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster import layout as addresses
from deploy.cluster.layout import Layout
from deploy.cluster.parts import BuildFailed, Missing

DAYS = "3650"


@dataclass(frozen=True)
class Account:
    """Who a program of the cluster is to the API server."""

    name: str
    user: str
    groups: tuple[str, ...] = ()


ACCOUNTS = (
    Account("admin", "admin", ("system:masters",)),
    Account("kubelet", f"system:node:{addresses.NODE}", ("system:nodes",)),
    Account("kube-controller-manager", "system:kube-controller-manager"),
    Account("kube-scheduler", "system:kube-scheduler"),
    Account("kube-proxy", "system:kube-proxy"),
    Account("network-policies", "windrow:network-policies"),
)


def make(layout: Layout) -> None:
    """Write all of them. Raises Missing and BuildFailed."""
    openssl = shutil.which("openssl")
    if openssl is None:
        raise Missing("openssl must be installed, and is not: it makes the cluster's keys and certificates")
    keys = layout.credentials
    keys.mkdir(mode=0o700, exist_ok=True)

    def run(*arguments: str) -> None:
        done = subprocess.run([openssl, *arguments], cwd=keys, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise BuildFailed(f"`openssl {arguments[0]}` failed: {done.stderr.strip().splitlines()[-1:]}")

    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-days", DAYS, "-subj", f"/CN={addresses.NODE}",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    run("genrsa", "-out", "accounts.key", "2048")
    names = [
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{addresses.DOMAIN}",
        "localhost",
    ]
    alternatives = ",".join(
        [f"DNS:{name}" for name in names] + [f"IP:{ip}" for ip in (addresses.NODE_ADDRESS, addresses.API_SERVICE, "127.0.0.1")]
    )
    for name, subject, usage, alternative in (
        ("api", "/CN=kube-apiserver", "serverAuth", alternatives),
        ("kubelet", f"/CN={addresses.NODE}", "serverAuth", f"IP:{addresses.NODE_ADDRESS}"),
        ("api-to-kubelet", "/O=system:masters/CN=kube-apiserver", "clientAuth", "DNS:kube-apiserver"),
    ):
        run("req", "-new", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        (keys / f"{name}.ext").write_text(
            f"extendedKeyUsage={usage}\nsubjectAltName={alternative}\nkeyUsage=digitalSignature\n"
        )
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", DAYS,
            "-extfile", f"{name}.ext", "-out", f"{name}.crt")  # fmt: skip
    lines = []
    for account in ACCOUNTS:
        token = secrets.token_hex(24)
        groups = f',"{",".join(account.groups)}"' if account.groups else ""
        lines.append(f"{token},{account.user},{account.name}{groups}\n")
        write_private(keys / f"{account.name}.kubeconfig", kubeconfig((keys / "ca.crt").read_bytes(), token))
    write_private(keys / "tokens.csv", "".join(lines))


def kubeconfig(authority: bytes, token: str) -> str:
    """A kubeconfig that needs no other file (JSON is YAML)."""
    cluster = {"server": addresses.API, "certificate-authority-data": base64.b64encode(authority).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": addresses.NODE,
        "clusters": [{"name": addresses.NODE, "cluster": cluster}],
        "users": [{"name": addresses.NODE, "user": {"token": token}}],
        "contexts": [{"name": addresses.NODE, "context": {"cluster": addresses.NODE, "user": addresses.NODE}}],
    }
    return json.dumps(document, indent=1)


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
