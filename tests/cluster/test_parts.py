"""The programs of the plane are there, or the run says which is not; what they play is what a cluster does."""

from __future__ import annotations

import dataclasses
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cluster import parts as builder
from tests.cluster import parts
from tests.workers import ROOT


def test_nothing_on_a_real_api_server_is_left_out_in_silence() -> None:
    """Without the programs this one line stands for all that was not tested."""
    try:
        parts.find()
    except builder.Missing as reason:
        pytest.skip(f"NOTHING WAS TESTED ON A REAL API SERVER: {reason}")


def test_another_source_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A program is never that of older sources: its folder's name is made from them."""
    source = parts.SOURCES[1]
    before = source.program
    copied = tmp_path / source.name
    copied.mkdir()
    for file in ("go.mod", "go.sum"):
        (copied / file).write_bytes((source.folder / file).read_bytes() + b"\n")
    changed = dataclasses.replace(source, parent=tmp_path)
    assert changed.program != before
    assert changed.program.parent.parent == builder.cache()


def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    """An empty cache, a wrong folder, no Go: a sentence with "must", and no traceback."""
    empty = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin", "HOME": str(tmp_path)}
    code = "from tests.cluster.parts import find, Missing\ntry: find()\nexcept Missing as no: print(no)"

    def said(**env: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code], env={**empty, **env}, capture_output=True, text=True, check=True, cwd=ROOT
        ).stdout

    assert said() == (
        "kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, kwok must be there, and are not: "
        "`make test-cluster` builds them\n"
    )
    assert said(KUBEBUILDER_ASSETS=str(tmp_path)).startswith("KUBEBUILDER_ASSETS must name a folder with kube-apiserver")


def test_two_builds_at_once_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and builds nothing: the program is there when the lock is free."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = parts.SOURCES[1]
    source.program.parent.mkdir(parents=True)
    with (source.program.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code = "from deploy.cluster import parts\nfrom tests.cluster.parts import SOURCES\nparts.build(SOURCES[1])"
        second = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(1.0)
        source.program.write_text("made by the first")
    assert second.wait(10) == 0
    assert second.stderr is not None
    assert second.stderr.read() == ""
    second.stderr.close()
    assert source.program.read_text() == "made by the first"


def test_assets_that_are_named_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What `KUBEBUILDER_ASSETS` has is used, and what it lacks is taken from what was built here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for source in parts.SOURCES:
        source.program.parent.mkdir(parents=True)
        source.program.touch()
    built = parts.find()
    for name in ("kube-apiserver", "etcd", "kubectl"):
        (tmp_path / name).touch()
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = parts.find()
    assert [found.kube_apiserver, found.etcd, found.kubectl] == [
        (str(tmp_path / name),) for name in ("kube-apiserver", "etcd", "kubectl")
    ]
    assert found.kube_controller_manager == built.kube_controller_manager


FAKE_GO = """#!/bin/sh
[ "$1" = version ] && echo go version go1.{minor}.0 linux/amd64 && exit
while [ "$1" != -o ]; do shift; done
echo half > "$2"
[ -e main.go ] || {{ echo "./main.go:3:15: undefined: nothing" >&2; exit 1; }}
echo whole > "$2"
"""


def fake_go(folder: Path, minor: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "go").write_text(FAKE_GO.format(minor=minor))
    (folder / "go").chmod(0o755)


def test_a_build_says_why_it_fails_and_leaves_a_whole_program_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the compiler said is in the sentence; what it made is moved to its place when it is whole."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    fake_go(tmp_path / "bin", 24)
    source = builder.Source("made", "1", parent=tmp_path)
    source.folder.mkdir()
    with pytest.raises(builder.BuildFailed, match=r"made could not be built: .*undefined: nothing"):
        builder.build(source)
    assert [path.name for path in source.program.parent.iterdir()] == ["lock"]
    (source.folder / "main.go").touch()
    builder.build(source)
    assert source.program.read_text() == "whole\n"
    assert sorted(path.name for path in source.program.parent.iterdir()) == ["lock", "made"]


def test_a_go_that_is_too_old_is_told_before_it_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Which Go must be there, and which is."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    fake_go(tmp_path / "bin", 23)
    with pytest.raises(builder.Missing, match=r"Go 1\.24 or newer must be installed .*, not 'go version go1\.23\.0"):
        parts.build()
