"""`rediss://`: everything goes through TLS, on a Redis that answers nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.apps import evidence
from tests.waiting import wait_until
from tests.workers import Work, producer, working

MISSING = [name for name in ("redis-server", "openssl") if shutil.which(name) is None]
"""The embedded Valkey is built without TLS."""
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"NOT TESTED: TLS to Redis. It needs {' and '.join(MISSING)}: apt-get install redis-server openssl"
)


@pytest.fixture
def tls_url(tmp_path: Path) -> Iterator[str]:
    """A Redis with TLS alone, and a certificate that only its own file vouches for."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"rediss://localhost:{port}/0?ssl_cert_reqs=required&ssl_ca_certs={certificate}"
    server = subprocess.Popen(
        ["redis-server", "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--tls-auth-clients", "no",
         "--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate),
         "--save", "", "--dir", str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip

    def answers() -> bool:
        with suppress(redis.RedisError), redis.Redis.from_url(url) as client:
            return bool(client.ping())
        return False

    try:
        wait_until(answers, 10, "Redis answers over TLS")
        yield url
    finally:
        server.kill()
        server.wait()


def starts(work: Work) -> int:
    return sum(line[2] == "start" for line in work.lines())


def test_a_worker_serves_over_tls_and_is_woken_there(tls_url: str, tmp_path: Path) -> None:
    """Publishing, taking, results and the wake-up by client tracking: ten messages in turn start sooner than two looks."""
    with working(tls_url, tmp_path) as work:
        producer(tls_url, evidence.app)
        work.start(concurrency=1)
        task = evidence.app.tasks["tests.apps.evidence.add"]
        assert task.apply_async((1, 2), queue="work").get(timeout=10) == 3
        stock = Celery("stock", broker=tls_url)
        began = time.monotonic()
        for number in range(10):
            stock.send_task("tests.apps.evidence.work", queue="work")
            wait_until(lambda number=number: starts(work) == number + 1, 5, "it starts", pause=0.002)
        assert time.monotonic() - began < 2.0
        wait_until(lambda: not work.client.keys("windrow:inflight:*"), 3, "all is acknowledged")


def test_messages_larger_than_a_read_arrive_whole_over_tls(tls_url: str, tmp_path: Path) -> None:
    """What TLS holds decrypted, and the socket therefore no longer announces, is read too."""
    with working(tls_url, tmp_path) as work:
        producer(tls_url, evidence.app)
        task = evidence.app.tasks["tests.apps.evidence.add"]
        results = [task.apply_async(("x" * size, "y"), queue="work") for size in (1 << 14, (1 << 17) - 300, 1 << 17, 3 << 17)]
        work.start(concurrency=2)
        assert [len(result.get(timeout=10)) - 1 for result in results] == [1 << 14, (1 << 17) - 300, 1 << 17, 3 << 17]
