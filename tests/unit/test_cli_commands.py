"""The command line: nothing heavy for help, one sentence and exit code 2 for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from windrow.cli.group import _COMMANDS, cli, run

SPEC = "apiVersion: windrow.dev/v1alpha1\nkind: QueueWorker\nmetadata: {name: one}\nspec: {concurrency: 0}\n"


def _json(**spec: object) -> str:
    """A QueueWorker as a pod is given it."""
    return json.dumps({"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": "one"}, "spec": spec})


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REDIS_URL", "DATABASE_URL", "WINDROW_STATE", "WINDROW_SPECS", "WINDROW_SPEC", "WINDROW_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_help_imports_nothing_heavy() -> None:
    """`windrow --help` knows every command without importing one."""
    code = "import sys; from windrow.cli.group import run; run(['--help']); print([m for m in sys.modules if m.startswith(%s)])"
    heavy = ("celery", "kombu", "redis", "sqlalchemy", "pydantic", "aiohttp", "psutil", "windrow.broker", "windrow.local")
    done = subprocess.run([sys.executable, "-c", code % (heavy,)], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
    for name, _, text in _COMMANDS:
        assert name in done.stdout
        assert text in done.stdout


def test_every_command_is_where_the_table_says() -> None:
    """Each name leads to a command with a help text of its own."""
    for name, _, _ in _COMMANDS:
        command = cli.get_command(None, name)  # type: ignore[arg-type]
        assert command is not None
        assert command.help


@pytest.mark.parametrize(
    "line",
    [
        "nope",
        "status",
        "executions",
        "show x",
        "retry x",
        "cancel x",
        "pause x",
        "release x",
        "scale x 1",
        "scale x many",
        "purge x",
        "logs x",
        "migrate",
        "status --nope",
        "worker",
        "worker nobody",
        "worker one -A app:app -Q q",
        "worker one -P threads",
        "worker -A app:app",
        "worker default -c 3",
        "worker -A no_such_module:app -Q q",
        "up -f none.yaml",
        "up -f wrong.yaml",
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever was asked that can't be done: a single line on standard error, nothing on standard output, no traceback."""
    (tmp_path / "wrong.yaml").write_text(SPEC)
    assert run(line.split()) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert len(told.err.strip().splitlines()) == 1
    assert not (tmp_path / ".windrow").exists()


def test_the_command_exits_with_the_code() -> None:
    """What `run` returns is the exit code of `windrow`, and of `python -m windrow.cli`."""
    for command in ([Path(sys.executable).with_name("windrow")], [sys.executable, "-m", "windrow.cli"]):
        done = subprocess.run([*command, "nope"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "No such command 'nope'.\n")


def test_a_wrong_setting_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable that can't be used is named."""
    monkeypatch.setenv("WINDROW_PORT", "http")
    assert run(["up"]) == 2
    assert "WINDROW_PORT must be a port number from 0 to 65535, not 'http'" in capsys.readouterr().err


def test_a_wrong_file_starts_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The sentence says file, line and what must hold; no state folder is made."""
    (tmp_path / "windrow.yaml").write_text(SPEC)
    assert run(["up"]) == 2
    assert capsys.readouterr().err.startswith("windrow.yaml:4: ")
    assert not os.path.exists(".windrow")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"apiVersion"', "WINDROW_SPEC: must be YAML ("),
        ("[]", "WINDROW_SPEC: each document must be a mapping, not a list"),
        (_json(concurrency=0), "WINDROW_SPEC: spec.concurrency must be at least 1, not 0"),
        (_json(pool="gevent"), "WINDROW_SPEC: spec.pool must be prefork, asyncio or threads ("),
        (_json(aqp=1), "WINDROW_SPEC: spec must hold only keys it knows, not 'aqp' (did you mean app?)"),
        (_json(app="no_such_module:app"), "WINDROW_SPEC: spec.app must be a Celery app that can be imported, not"),
        (f"{_json()}\n---\n{_json(queue='other').replace('one', 'two')}", "WINDROW_SPEC: must hold one QueueWorker, not 2"),
    ],
)
def test_a_wrong_windrow_spec_is_one_sentence(
    text: str, sentence: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a pod is given is checked as a file is, with the same sentences."""
    monkeypatch.setenv("WINDROW_SPEC", text)
    assert run(["worker"]) == 2
    told = capfd.readouterr().err
    assert told.startswith(sentence)
    assert len(told.strip().splitlines()) == 1


def test_a_name_wins_over_windrow_spec(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Who says which queue to serve is not given another."""
    monkeypatch.setenv("WINDROW_SPEC", _json())
    assert run(["worker", "nobody"]) == 2
    assert "not 'nobody'" in capsys.readouterr().err


def test_migrate_waits_for_a_postgresql_that_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says once for whom it waits, tries again, and gives up at the end of the time in one sentence."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://windrow@127.0.0.1:9/nothing")
    assert run(["migrate", "--wait", "1200ms"]) == 2
    said = capfd.readouterr().err.splitlines()
    assert said[0].startswith("waiting for PostgreSQL: ")
    assert said[-1].startswith("the tables must be migrated, and PostgreSQL says: ")
    assert len(said) == 2


def test_migrate_refuses_a_wait_that_is_no_duration(capfd: pytest.CaptureFixture[str]) -> None:
    """What must hold, and what was given."""
    assert run(["migrate", "--wait", "long"]) == 2
    assert capfd.readouterr().err.strip() == "--wait must be a duration such as 90s, 10m, 1h10m or 500ms, not 'long'"


def test_an_image_without_the_local_parts_finds_the_platform_in_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no state folder, nothing of `windrow.local` is imported: a pod's image lacks what that needs."""
    code = (
        "import sys; sys.modules['psutil'] = None; from windrow.cli.target import find_target; "
        "print(find_target(None).redis_url, 'windrow.local' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "REDIS_URL": "redis://there"},
    )
    assert done.stdout.split() == ["redis://there", "False"]
