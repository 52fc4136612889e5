"""docs/operator.md, command by command, on a real API server with the real operator."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.agent.playing import Agent
from tests.cluster.control_plane import Plane
from tests.cluster.setting import QueueWorkerObject, drop_namespace
from tests.waiting import wait_until
from tests.workers import ROOT

PAGE = (ROOT / "docs/operator.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- run: (\w+) -->\n```sh\n(.*?)```", PAGE, re.DOTALL)


def block(name: str) -> str:
    """The commands of a kind, in the page's order."""
    return "".join(commands for kind, commands in BLOCKS if kind == name)


@pytest.fixture
def cleared(plane: Plane) -> Iterator[Plane]:
    """An API server without the page's two namespaces, before and after."""
    yield plane
    for namespace in ("shop", "windrow"):
        drop_namespace(plane.api, namespace)


class Shell:
    """A person's shell, with `kubectl` and this checkout's Python."""

    def __init__(self, plane: Plane, folder: Path, redis_url: str) -> None:
        self._redis_url = redis_url
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        kubectl = bin_folder / "kubectl"
        kubectl.write_text(f'#!/bin/sh\nexec {" ".join(plane.kubectl)} "$@"\n')
        kubectl.chmod(0o755)
        path = f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "KUBECONFIG": str(plane.kubeconfig)}

    def commands(self, text: str) -> str:
        """The page's commands, with this test's Redis."""
        return text.replace("redis://redis.windrow:6379/0", self._redis_url)

    def run(self, text: str) -> str:
        """Run a block; a command that fails fails the test."""
        done = self._bash(text)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refused(self, text: str) -> str:
        """What a block says when its first command is refused."""
        done = self._bash(text)
        assert done.returncode != 0, f"{text}\n{done.stdout}"
        return done.stderr.strip()

    def _bash(self, text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.commands(text)],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip


@pytest.mark.slow
def test_the_page_can_be_followed(cleared: Plane, redis_url: str, tmp_path: Path) -> None:
    shell = Shell(cleared, tmp_path, redis_url)
    shell.run(block("install"))
    assert shell.refused(block("queue").replace("soft: 1m", "soft: 2m")) in PAGE
    log = (tmp_path / "operator.log").open("wb")
    operator = subprocess.Popen(
        ["bash", "-c", shell.commands(block("operator")).replace("\nwindrow operator", "\nexec windrow operator")],
        env=shell.environment, cwd=ROOT, stdout=log, stderr=log,
    )  # fmt: skip
    agent = Agent(tmp_path / "agent", cleared.kubeconfig, "shop", redis_url)
    try:
        agent.start()
        shown = shell.run(block("queue"))
        assert shown.splitlines()[-2].split() == [
            "NAME",
            "QUEUE",
            "READY",
            "IN",
            "FLIGHT",
            "OLDEST",
            "WORKERS",
            "DESIRED",
            "MODE",
            "AGE",
        ]
        mail = QueueWorkerObject(cleared.api, "shop", "mail")
        wait_until(lambda: (mail.condition("Accepted") or {}).get("status") == "True", 30, "the QueueWorker is accepted")
        pin, pause, status, release = [line for line in block("person").splitlines() if line]
        shell.run(pin)
        wait_until(lambda: mail.get()["status"].get("mode") == "Pinned" and mail.replicas() == 5, 20, "five workers are pinned")
        wait_until(lambda: mail.ready() == 5, 30, "five pods are ready")
        shell.run(pause)
        wait_until(lambda: mail.get()["status"].get("mode") == "Paused", 20, "it is paused")
        assert "mail" in shell.run(status)
        shell.run(release)
        wait_until(lambda: mail.get()["status"].get("mode") == "Auto", 20, "it is autoscaled")
        assert not {"replicas", "paused"} & {key for key, value in mail.get()["spec"].items() if value}
        shown = shell.run("kubectl --namespace shop get windrow")
        assert shown.splitlines()[-1].split()[:2] == ["mail", "mail"]
        sentence = shell.run("kubectl --namespace shop get qw mail -o jsonpath='{.status.lastDecision.sentence}'")
        assert sentence
        shell.run("kubectl --namespace shop delete qw mail")
        # The garbage collector looks for new kinds every half minute.
        wait_until(lambda: mail.deployment() is None, 90, "its Deployment goes with it")
    except AssertionError as error:
        log.flush()
        raise AssertionError(f"{error}\n{(tmp_path / 'operator.log').read_text(encoding='utf-8')[-4000:]}") from error
    finally:
        operator.terminate()
        operator.wait(timeout=20)
        log.close()
        agent.stop()
