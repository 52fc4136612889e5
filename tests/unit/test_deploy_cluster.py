"""What `make cluster` decides, and what it tells the parts that it is made of."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from deploy.cluster import addons, cgroups, credentials, debian, images, layout, oci, release, volumes
from deploy.cluster.choice import FORCED, NAMED, Way, choose
from deploy.cluster.cluster import Cluster
from deploy.cluster.host import born
from deploy.cluster.layout import Layout
from deploy.cluster.machine import Machine, check
from deploy.cluster.node import Plan, commands
from deploy.cluster.parts import Missing

ROOT = Path(__file__).parents[2]
FIT = Machine("linux", 0, frozenset({"overlay", "tmpfs"}), unshare=True, routes=("192.0.2.0/24",))
PLAN = Plan("/var/lib/windrow-cluster", ("etcd",), "/kubernetes", "/network-policies", "/bin", "/cni")


def test_a_cluster_is_the_named_one_then_kind_then_parts(tmp_path: Path) -> None:
    """The KUBECONFIG of the environment is never taken: it may be the one of a cluster in production."""
    kubeconfig = tmp_path / "config"
    kubeconfig.touch()
    assert choose({NAMED: str(kubeconfig)}, docker_answers=True) is Way.NAMED
    assert choose({"KUBECONFIG": str(kubeconfig)}, docker_answers=True) is Way.KIND
    assert choose({"KUBECONFIG": str(kubeconfig)}, docker_answers=False) is Way.PARTS
    assert choose({FORCED: "parts"}, docker_answers=True) is Way.PARTS


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({NAMED: "/nowhere/config"}, "WINDROW_KUBECONFIG must name a kubeconfig, and '/nowhere/config' is not a file"),
        ({FORCED: "minikube"}, "WINDROW_CLUSTER must be one of named, kind, parts, not 'minikube'"),
        ({FORCED: "named"}, "WINDROW_KUBECONFIG must name a kubeconfig where WINDROW_CLUSTER is 'named', and does not"),
    ],
)
def test_a_cluster_that_can_not_be_is_refused_in_one_sentence(environment: dict[str, str], sentence: str) -> None:
    """What must hold, and what was given."""
    with pytest.raises(Missing) as refused:
        choose(environment, docker_answers=False)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("machine", "says"),
    [
        (dataclasses.replace(FIT, system="darwin"), "this machine runs 'darwin': start Docker"),
        (dataclasses.replace(FIT, user=1000), "must be started by root .*, not by user 1000: use sudo"),
        (dataclasses.replace(FIT, filesystems=frozenset({"ext4"})), "must know the file system overlay"),
        (dataclasses.replace(FIT, unshare=False), r"`unshare` \(util-linux\) must be on the PATH"),
        (dataclasses.replace(FIT, routes=("10.96.0.0/12",)), "10.96.0.0/16 must be free .* it has a route to 10.96.0.0/12"),
    ],
)
def test_a_machine_that_can_not_hold_a_node_is_told_why(machine: Machine, says: str) -> None:
    """Each with the way round: another cluster may be named."""
    check(FIT)
    with pytest.raises(Missing, match=says) as refused:
        check(machine)
    assert "make cluster KUBECONFIG=path" in str(refused.value)


def test_a_call_may_name_a_kubeconfig_and_a_shell_may_not() -> None:
    """`make cluster KUBECONFIG=path` uses that cluster; an exported KUBECONFIG is not looked at."""

    def printed(*arguments: str, **environment: str) -> str:
        command = ["make", "-n", "cluster-down", "BIN=bin", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True, check=True
        ).stdout

    assert "WINDROW_KUBECONFIG='/a/path'" in printed("KUBECONFIG=/a/path")
    assert "WINDROW_KUBECONFIG" not in printed(KUBECONFIG="/a/path")


def test_the_numbered_clusters_share_no_address() -> None:
    """Up to sixteen lie beside each other on one machine."""
    code = "from deploy.cluster import layout as l; print(l.PODS, l.SERVICES, f'{l.NODE_ADDRESS}/30', l.Layout().state, l.LINK)"
    seen: list[list[str]] = []
    for number in ("", "1", "15"):
        environment = {**os.environ, layout.NUMBERED: number}
        said = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        seen.append(said.stdout.split())
    networks = [ipaddress.ip_network(text, strict=False) for line in seen for text in line[:3]]
    assert not any(one.overlaps(other) for n, one in enumerate(networks) for other in networks[n + 1 :])
    assert len({text for line in seen for text in line[3:]}) == 6


def test_what_the_parts_are_told_can_be_read_by_them() -> None:
    """containerd's configuration is TOML, the others JSON; all of a node's programs have a command."""
    config = tomllib.loads(layout.containerd_config(Layout(), Path("/cni")))
    assert config["plugins"]["io.containerd.grpc.v1.cri"]["restrict_oom_score_adj"] is True
    assert config["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"] == layout.PAUSE_IMAGE
    kubelet = json.loads(layout.kubelet_config(Layout()))
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert kubelet["clusterDNS"] == [layout.DNS_SERVICE]
    assert set(kubelet["evictionHard"].values()) == {"0%"}
    plugin = json.loads(layout.network_config())["plugins"][0]
    assert (plugin["type"], plugin["ipMasq"]) == ("ptp", False)
    assert list(commands(PLAN))[:3] == ["containerd", "etcd", "kube-apiserver"]


def test_a_plan_reads_as_it_was_written(tmp_path: Path) -> None:
    """The node's first process is told by a file."""
    PLAN.write(tmp_path / "plan")
    assert Plan.read(tmp_path / "plan") == PLAN


def test_cluster_accounts_have_their_groups_and_tokens_of_their_own(tmp_path: Path) -> None:
    """Certificates are signed by the cluster's own authority, and what is secret is readable by its owner only."""
    state = Layout(tmp_path)
    credentials.make(state)
    tokens = (state.credentials / "tokens.csv").read_text().splitlines()
    assert [line.partition(",")[2] for line in tokens[:2]] == [
        'admin,admin,"system:masters"',
        f'system:node:{layout.NODE},kubelet,"system:nodes"',
    ]
    assert len({line.partition(",")[0] for line in tokens}) == len(credentials.ACCOUNTS)
    verify = ["openssl", "verify", "-CAfile", "ca.crt", "api.crt", "kubelet.crt", "api-to-kubelet.crt"]
    subprocess.run(verify, cwd=state.credentials, check=True, capture_output=True)
    assert (state.credentials / "tokens.csv").stat().st_mode & 0o077 == 0
    assert (state.credentials / "admin.kubeconfig").stat().st_mode & 0o077 == 0


def test_a_released_volume_is_emptied_and_offered_again() -> None:
    """What is bound or free is left alone; of others' volumes nothing is said."""

    def there(name: str, phase: str) -> dict[str, object]:
        return {"metadata": {"name": name}, "status": {"phase": phase}}

    offered, emptied = volumes.wanted([there("local-00", "Bound"), there("local-01", "Released"), there("nfs", "Released")])
    assert emptied == ["local-01"]
    assert offered == [f"local-{n:02}" for n in range(2, layout.VOLUMES)]


def test_services_are_named_on_the_port_that_policies_allow() -> None:
    """A NetworkPolicy sees the pod's own port: 53, as it is elsewhere."""
    deployment = next(one for one in addons.objects() if one["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] == 53
    assert deployment["spec"]["template"]["metadata"]["labels"] == {"k8s-app": "kube-dns"}


@pytest.mark.parametrize(
    ("tag", "whole"),
    [
        ("redis:7.4", "docker.io/library/redis:7.4"),
        ("windrow/windrow:0.1.0", "docker.io/windrow/windrow:0.1.0"),
        ("registry.example/a/b:1", "registry.example/a/b:1"),
        ("localhost/a:1", "localhost/a:1"),
        ("here:5000/a:1", "here:5000/a:1"),
    ],
)
def test_an_image_is_loaded_under_the_name_that_a_pod_asks_for(tag: str, whole: str) -> None:
    """Container runtimes complete a short name."""
    assert images.qualified(tag) == whole


def test_the_images_of_the_chart_are_the_ones_that_are_brought() -> None:
    """Windrow's in the chart's appVersion, and what its databases for evaluation are made of."""
    assert release.own().startswith("windrow/windrow:")
    assert set(release.stand_ins()) == {"redis", "postgresql"}
    assert release.image_name({"repository": "a/b", "tag": ""}, "1.2") == "a/b:1.2"
    assert release.image_name("redis:7.4") == "redis:7.4"


def test_an_image_of_one_program_is_whole(tmp_path: Path) -> None:
    """Each blob is what its name says, and the layer holds the program, runnable."""
    program = tmp_path / "pause"
    program.write_bytes(b"\x7fELF")
    with tarfile.open(oci.write(tmp_path / "image.tar", "windrow.local/pause:1", program)) as archive:

        def content(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file is not None
            return file.read()

        for name in archive.getnames():
            if name.startswith("blobs/"):
                assert hashlib.sha256(content(name)).hexdigest() == name.rpartition("/")[2]
        index = json.loads(content("index.json"))["manifests"][0]
        assert index["annotations"]["io.containerd.image.name"] == "windrow.local/pause:1"
        manifest = json.loads(content(f"blobs/sha256/{index['digest'][7:]}"))
        layer = archive.extractfile(f"blobs/sha256/{manifest['layers'][0]['digest'][7:]}")
        with tarfile.open(fileobj=layer, mode="r:gz") as files:
            assert [(file.name, file.mode) for file in files] == [("pause", 0o755)]


def test_an_unpacked_program_is_called_with_its_libraries(tmp_path: Path) -> None:
    """The system's own programs and libraries are not touched."""
    script = tmp_path / "called"
    program = tmp_path / "usr" / "bin" / "runc"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$LD_LIBRARY_PATH $*"\n')
    program.chmod(0o755)
    script.write_text(debian.wrapper(tmp_path, program, tmp_path / "lib"))
    script.chmod(0o755)
    said = subprocess.run([str(script), "--a", "b c"], env={}, capture_output=True, text=True, check=True).stdout
    assert said == f"{tmp_path / 'lib'} --a b c\n"


def test_cgroups_of_both_kinds_are_made_and_taken_away(tmp_path: Path) -> None:
    """One hierarchy for each controller with v1, one for all with v2; what is lacking is said."""
    for name in ("cpu", "memory", "pids"):
        (tmp_path / "v1" / name).mkdir(parents=True)
        (tmp_path / "v1" / name / "cgroup.procs").touch()
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2" / "cgroup.controllers").write_text("cpu memory pids\n")
    assert [path.name for path in cgroups.hierarchies(tmp_path / "v1")] == ["cpu", "memory", "pids"]
    assert cgroups.hierarchies(tmp_path / "v2") == (tmp_path / "v2",)
    cgroups.make(tmp_path / "v1")
    assert (tmp_path / "v1" / "pids" / layout.NODE / "system").is_dir()
    assert cgroups.clear(tmp_path / "v1")
    assert not (tmp_path / "v1" / "pids" / layout.NODE).exists()
    (tmp_path / "v1" / "pids" / "cgroup.procs").unlink()
    with pytest.raises(Missing, match=r"cgroups of cpu, memory, pids must be there .*, and pids not: mount them"):
        cgroups.make(tmp_path / "v1")


def test_a_process_is_told_from_a_later_one_with_its_pid() -> None:
    """By when it was made; one that is gone has no time."""
    with subprocess.Popen(["sleep", "60"]) as process:
        assert born(process.pid) == born(process.pid) != born(os.getpid())
        process.kill()
    assert born(process.pid) == ""


def test_of_a_named_cluster_nothing_is_changed(tmp_path: Path) -> None:
    """No image is brought into it and nobody enters its nodes."""
    named = Cluster(Way.NAMED, tmp_path)
    with pytest.raises(Missing, match="images must be pushed to where the named cluster pulls them: a:1"):
        named.load("a:1")
    with pytest.raises(Missing, match="not on one that was named"):
        _ = named.enter
    assert named.enforces_network_policies is False
