"""DATABASE_URL with TLS, as libpq has it: sslmode and sslrootcert, tried on a real PostgreSQL."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from tests.waiting import wait_until
from windrow.cli.group import run
from windrow.records.engine import make_engine, tls_of
from windrow.records.migrate import migrate

POSTGRES = next(
    (
        path
        for path in (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin"))
        if (path / "initdb").exists()
    ),
    None,
)
"""The machine's own: the embedded one is built without TLS."""


def openssl(*arguments: str, folder: Path) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a certificate of its for `localhost`; another authority that signed nothing."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: TLS to PostgreSQL is NOT tested")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "stranger"):
        openssl(
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
            folder=folder,
        )
    openssl(
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
        folder=folder,
    )
    openssl(
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-days",
        "2",
        "-copy_extensions",
        "copy",
        "-out",
        "server.crt",
        folder=folder,
    )
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """A PostgreSQL that takes nothing but TLS."""
    if POSTGRES is None:
        pytest.skip("no PostgreSQL with TLS is installed (Debian: postgresql): TLS to PostgreSQL is NOT tested")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    data = folder / "data"
    data.mkdir()
    as_postgres: list[str] = []
    if os.geteuid() == 0:
        for path in (folder, *folder.parents):
            if path.stat().st_mode & 0o005 != 0o005 and path.is_relative_to("/tmp"):
                path.chmod(path.stat().st_mode | 0o055)
        for path in folder.rglob("*"):
            os.chown(path, 65534, 65534)
        as_postgres = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    (folder / "server.key").chmod(0o600)
    data.chmod(0o700)
    subprocess.run(
        [*as_postgres, str(POSTGRES / "initdb"), "-D", str(data), "-U", "windrow", "-A", "trust", "-N"],
        check=True,
        capture_output=True,
        cwd="/",
    )
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\nhostssl all all ::1/128 trust\n")
    options = [
        "ssl=on",
        f"ssl_cert_file={folder / 'server.crt'}",
        f"ssl_key_file={folder / 'server.key'}",
        "listen_addresses=localhost",
        f"unix_socket_directories={data}",
    ]
    told = [part for one in options for part in ("-c", one)]
    server = subprocess.Popen(
        [*as_postgres, str(POSTGRES / "postgres"), "-D", str(data), "-p", str(number), *told],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
    )  # fmt: skip
    try:
        wait_until(lambda: _ready(number), 30, "PostgreSQL is ready")
        yield number
    finally:
        server.terminate()
        server.wait(20)


def _ready(port: int) -> bool:
    assert POSTGRES is not None
    asked = [str(POSTGRES / "pg_isready"), "-q", "-h", "localhost", "-p", str(port)]
    return subprocess.run(asked, check=False).returncode == 0


def url(port: int, folder: Path, host: str = "localhost", authority: str = "ca", mode: str = "verify-full") -> str:
    return f"postgresql://windrow@{host}:{port}/postgres?sslmode={mode}&sslrootcert={folder / authority}.crt"


def test_the_authority_that_is_named_is_believed(port: int, folder: Path) -> None:
    """The tables are made over TLS; with verify-ca under another name than the certificate's too."""
    migrate(url(port, folder))
    migrate(url(port, folder, host="127.0.0.1", mode="verify-ca"))


@pytest.mark.parametrize(("host", "authority"), [("localhost", "stranger"), ("127.0.0.1", "ca")])
def test_another_authority_or_another_name_is_refused(port: int, folder: Path, host: str, authority: str) -> None:
    """verify-full wants the authority and the name."""
    with pytest.raises((OSError, SQLAlchemyError)):
        migrate(url(port, folder, host=host, authority=authority))


def test_migrate_says_it_in_a_sentence(
    port: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The command line names what must hold, and no password."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", url(port, folder, authority="stranger").replace("windrow@", "windrow:hidden@"))
    assert run(["migrate"]) == 2
    said = capfd.readouterr().err
    assert re.search(r"the tables must be migrated, and PostgreSQL says: .*certificate verify failed", said)
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (
            "sslrootcert=/nowhere/ca.crt",
            "DATABASE_URL's sslrootcert must be a file with certificates, and '/nowhere/ca.crt' is not",
        ),
        (
            "sslrootcert=/etc/hostname",
            "DATABASE_URL's sslrootcert must be a file with certificates, and '/etc/hostname' is not",
        ),
        (
            "sslmode=prefer&sslrootcert=/etc/hostname",
            "DATABASE_URL's sslmode must be require, verify-ca or verify-full beside sslrootcert, not 'prefer'",
        ),
    ],
)
def test_what_cannot_be_used_is_one_sentence(query: str, sentence: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        make_engine(f"postgresql://windrow@localhost/postgres?{query}")


def test_without_an_authority_nothing_changes() -> None:
    """sslmode alone is asyncpg's own."""
    assert tls_of("postgresql://windrow@localhost/postgres?sslmode=require") is None
