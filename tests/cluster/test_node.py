"""A real node leaves nothing behind on the machine that held it, however it ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster import debian, parts
from deploy.cluster.machine import Machine, check
from tests.waiting import wait_until
from tests.workers import ROOT

NUMBER = "15"
"""A cluster of the tests' own, beside the one that somebody may have started."""
STATE = Path(f"/var/lib/windrow-cluster-{NUMBER}")
OTHERS = re.compile(r"windrow\d|windrow-cluster|/windrow(-\d+)?$|10\.24[45]\.|10\.(9[6-9]|10\d|11[01])\.")
"""What other clusters of ours may change meanwhile; what is this one's is looked for by its number."""
OURS = re.compile(rf"windrow{NUMBER}\b|windrow-cluster-{NUMBER}\b|/windrow-{NUMBER}$|10\.244\.60\.|10\.245\.0\.6|10\.111\.")
SOURCES = (parts.KUBERNETES, parts.PAUSE, parts.COREDNS, parts.NETWORK_POLICIES)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(autouse=True)
def _a_machine_for_a_node() -> Iterator[None]:
    try:
        check(Machine.found())
    except parts.Missing as reason:
        if "a route to" not in str(reason):  # the route of a cluster that runs beside this one
            pytest.skip(f"NO REAL NODE WAS TESTED: {reason}")
    lacking = [source.name for source in SOURCES if not source.program.exists()]
    if lacking or (debian.lacking() and not list(parts.cache().glob("debian-*/bin"))):
        pytest.skip(f"NO REAL NODE WAS TESTED: `make cluster` must have built its parts: {', '.join(lacking) or 'programs'}")
    yield
    call("down")


def call(verb: str) -> subprocess.CompletedProcess[str]:
    """`python -m deploy.cluster …` for the tests' own cluster."""
    command = [sys.executable, "-m", "deploy.cluster", verb]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=200)


def environment() -> dict[str, str]:
    return {**os.environ, "WINDROW_CLUSTER_NUMBER": NUMBER, "WINDROW_CLUSTER": "parts"}


def traces() -> set[str]:
    """What a machine has that a node may leave: networks, routes, mounts, cgroups, namespaces, folders and processes."""
    found = {f"link {path.name}" for path in Path("/sys/class/net").iterdir()}
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    found |= {f"route {line.strip()}" for line in routes.splitlines()}
    found |= {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    found |= {f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob("*/*") if path.is_dir()}
    for folder in ("/run", "/run/netns", "/var/lib", "/var/log", "/var/log/pods", "/etc", "/opt"):
        found |= {f"folder {path}" for path in Path(folder).glob("*")}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if f"windrow-cluster-{NUMBER}".encode() in words:
            found.add(f"process {process.name} of windrow-cluster-{NUMBER}")
    return {line for line in found if OURS.search(line) or not OTHERS.search(line)}


def up() -> None:
    made = call("up")
    assert made.returncode == 0, made.stderr
    assert f"export KUBECONFIG={STATE}/kubeconfig" in made.stdout
    assert any(OURS.search(line) for line in traces())


def test_nothing_is_left_of_a_node() -> None:
    """The second `up` finds the one that runs; `down` takes all of it away, and a second one finds nothing to do."""
    call("down")
    before = traces()
    up()
    first = json.loads((STATE / "node.json").read_text())
    up()
    assert json.loads((STATE / "node.json").read_text()) == first
    assert call("down").returncode == 0
    assert traces() == before
    assert call("down").returncode == 0


@pytest.mark.parametrize("lost", ["its first process", "the record of it"])
def test_nothing_is_left_of_a_node_that_crashed(lost: str) -> None:
    """`down` needs neither a process of the node nor the record of which it was."""
    call("down")
    before = traces()
    up()
    if lost == "the record of it":
        (STATE / "node.json").unlink()
    else:
        os.kill(json.loads((STATE / "node.json").read_text())["first"], signal.SIGKILL)
    assert call("down").returncode == 0
    assert traces() == before


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_call_that_is_interrupted_takes_away_what_it_began(sent: signal.Signals) -> None:
    """Ctrl-C at any moment: here while the programs start."""
    call("down")
    before = traces()
    command = [sys.executable, "-m", "deploy.cluster", "up"]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True, preexec_fn=_heeds_ctrl_c
    ) as begun:
        wait_until(lambda: (STATE / "containerd.sock").exists(), 30, "the node's programs start")
        begun.send_signal(sent)
        _, said = begun.communicate(timeout=60)
    assert (begun.returncode, said) == (130, "interrupted: what was begun is taken away\n")
    assert traces() == before


def _heeds_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
