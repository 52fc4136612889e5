"""A thin client of the API server for tests: JSON in, JSON out, on kept connections, one for each thread."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

Object = dict[str, Any]
_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
    "strategic": "application/strategic-merge-patch+json",
}
APPS = "/apis/apps/v1"
CORE = "/api/v1"
QUEUEWORKERS = "/apis/windrow.dev/v1alpha1"


class Refused(Exception):
    """The API server said no; `code` is the HTTP status, the text its sentence."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class Api:
    """One user's way to the API server, from a kubeconfig document (JSON, as `kubectl config view --raw -o json` gives it)."""

    def __init__(self, kubeconfig: Mapping[str, Any]) -> None:
        cluster, user = kubeconfig["clusters"][0]["cluster"], kubeconfig["users"][0]["user"]
        self._server = urlsplit(cluster["server"])
        self._trust = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
        if data := cluster.get("certificate-authority-data"):
            self._trust.load_verify_locations(cadata=base64.b64decode(data).decode())
        if cluster.get("insecure-skip-tls-verify"):
            self._trust.check_hostname = False
            self._trust.verify_mode = ssl.CERT_NONE
        self._headers = {"Accept": "application/json"}
        if "token" in user:
            self._headers["Authorization"] = f"Bearer {user['token']}"
        elif "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as file:
                file.write(
                    base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"])
                )
                file.flush()
                self._trust.load_cert_chain(file.name)
        self._here = threading.local()

    @classmethod
    def of(cls, kubeconfig: Path) -> Api:
        """From a kubeconfig file that is written in JSON."""
        return cls(json.loads(kubeconfig.read_text(encoding="utf-8")))

    def get(self, path: str, **query: str) -> Object:
        """An object or a list; raises Refused."""
        return self._call("GET", _with(path, query))

    def find(self, path: str) -> Object | None:
        """An object, None when there is none; raises Refused."""
        try:
            return self.get(path)
        except Refused as no:
            if no.code != 404:
                raise
            return None

    def items(self, path: str, **query: str) -> list[Object]:
        """The objects of a list; raises Refused."""
        return list(self.get(path, **query)["items"])

    def post(self, path: str, body: object) -> Object:
        """Create; raises Refused."""
        return self._call("POST", path, body)

    def put(self, path: str, body: object) -> Object:
        """Replace; raises Refused."""
        return self._call("PUT", path, body)

    def patch(self, path: str, body: object, kind: str = "merge", **query: str) -> Object:
        """Change (`merge`, `json`, `strategic`) or apply (`apply`, with `fieldManager=…`); raises Refused."""
        return self._call("PATCH", _with(path, query), body, _TYPES[kind])

    def delete(self, path: str, **body: object) -> None:
        """Delete, with options such as `gracePeriodSeconds=0`; an object that is gone is no error. Raises Refused."""
        try:
            self._call("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **body} if body else None)
        except Refused as no:
            if no.code != 404:
                raise

    def text(self, path: str) -> str:
        """What is no JSON: `/metrics`."""
        return self._bytes("GET", path, None, None).decode()

    def watch(self, path: str, **query: str) -> Iterator[tuple[str, Object]]:
        """What is there, then each change, as (`ADDED`, `MODIFIED`, `DELETED`; object), until the connection ends."""
        listed = self.get(path, **query)
        for found in listed["items"]:
            yield "ADDED", found
        query = {**query, "watch": "1", "resourceVersion": listed["metadata"]["resourceVersion"], "timeoutSeconds": "3600"}
        connection = self._connect(timeout=None)
        try:
            connection.request("GET", _with(path, query), headers=self._headers)
            answer = connection.getresponse()
            for line in answer:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                yield event["type"], event["object"]
        finally:
            connection.close()

    def close(self) -> None:
        """Close this thread's connection; the next call makes another."""
        kept: http.client.HTTPSConnection | None = getattr(self._here, "connection", None)
        if kept is not None:
            kept.close()
            self._here.connection = None

    def _call(self, verb: str, path: str, body: object = None, kind: str = "application/json") -> Object:
        found: Object = json.loads(self._bytes(verb, path, body, kind))
        return found

    def _bytes(self, verb: str, path: str, body: object, kind: str | None) -> bytes:
        given = None if body is None else json.dumps(body)
        headers = {**self._headers, "Content-Type": kind} if given is not None and kind else self._headers
        for again in (True, False):
            connection = self._kept()
            try:
                connection.request(verb, path, given, headers)
                answer = connection.getresponse()
                data = answer.read()
            except (http.client.HTTPException, OSError):
                connection.close()
                self._here.connection = None
                if not again:
                    raise
                continue
            if answer.status >= 400:
                raise Refused(answer.status, _sentence(data, f"{verb} {path} was answered with {answer.status}"))
            return data
        raise AssertionError("unreachable")

    def _kept(self) -> http.client.HTTPSConnection:
        kept: http.client.HTTPSConnection | None = getattr(self._here, "connection", None)
        if kept is None:
            kept = self._here.connection = self._connect(timeout=30)
        return kept

    def _connect(self, timeout: float | None) -> http.client.HTTPSConnection:
        assert self._server.hostname
        return http.client.HTTPSConnection(self._server.hostname, self._server.port, context=self._trust, timeout=timeout)


def _with(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _sentence(data: bytes, otherwise: str) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError):
        return otherwise
