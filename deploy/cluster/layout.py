"""Where a node keeps what, which addresses it has, and what its programs are told. Pure.

The node lives in namespaces of its own (processes, mounts, network) and sees its state folder also as `/var/lib` and
`/var/log`; so its programs can keep their usual places, and nothing of it is left when its first process has ended.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

NUMBERED = "WINDROW_CLUSTER_NUMBER"
NUMBER = int(os.environ.get(NUMBERED) or 0)
"""Which of several clusters beside each other on a machine, up to 15: each has a folder, addresses and a cgroup of its own."""
_SUFFIX = f"-{NUMBER}" if NUMBER else ""
NODE = f"windrow{_SUFFIX}"
"""The node's name, and of its cgroup."""
LINK = f"windrow{NUMBER}"
"""The machine's end of the cable to the node."""
MACHINE_ADDRESS = f"10.245.0.{NUMBER * 4 + 1}"
NODE_ADDRESS = f"10.245.0.{NUMBER * 4 + 2}"
LINK_PREFIX = 30
PODS = f"10.244.{NUMBER * 4}.0/22"
SERVICES = f"10.{96 + NUMBER}.0.0/16"
API_SERVICE = f"10.{96 + NUMBER}.0.1"
DNS_SERVICE = f"10.{96 + NUMBER}.0.10"
SERVICE_BRIDGE = "services0"
"""A bridge without ports inside the node: the way to addresses of services that nobody has."""
DOMAIN = "cluster.local"
API = f"https://{NODE_ADDRESS}:6443"
PAUSE_IMAGE = "windrow.local/pause:1"
COREDNS_IMAGE = "windrow.local/coredns:1"
MAX_PODS = 250
POLICIES_PORT = 20244
"""Where the one who enforces network policies says that it does."""
VOLUMES = 24
"""How many volumes the pool has."""


@dataclass(frozen=True)
class Layout:
    """The state folder's parts."""

    state: Path = Path(f"/var/lib/windrow-cluster{_SUFFIX}")

    @property
    def kubeconfig(self) -> Path:
        """With all rights, readable by its owner only."""
        return self.state / "kubeconfig"

    @property
    def credentials(self) -> Path:
        """Keys and certificates."""
        return self.state / "credentials"

    @property
    def logs(self) -> Path:
        """A log for each program, and the node's `/var/log`."""
        return self.state / "log"

    @property
    def containerd(self) -> Path:
        """The socket of containerd, to be reached from the machine too."""
        return self.state / "containerd.sock"

    @property
    def volumes(self) -> Path:
        """A folder for each PersistentVolume of the pool."""
        return self.state / "volumes"

    @property
    def record(self) -> Path:
        """Which process is the node's first one."""
        return self.state / "node.json"

    @property
    def plan(self) -> Path:
        """What the node's first process is told."""
        return self.state / "plan.json"


def containerd_config(layout: Layout, network_plugins: Path) -> str:
    """containerd's configuration: its CRI part, with cgroupfs and the network below."""
    return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
]
[grpc]
address = "{layout.containerd}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
restrict_oom_score_adj = true
enable_unprivileged_ports = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{network_plugins}"
conf_dir = "{layout.state / "network"}"
"""


def network_config() -> str:
    """The pods' network: each pod has a cable of its own to the node, which routes; nothing is masqueraded.

    Not a bridge: the answers between two of its pods would pass by the node, and by what its services and policies rest on.
    """
    plugin = {
        "type": "ptp",
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "/run/cni"},
    }
    return json.dumps({"cniVersion": "1.0.0", "name": "pods", "plugins": [plugin]}, indent=1)


def kubelet_config(layout: Layout) -> str:
    """The kubelet's configuration (JSON is YAML)."""
    keys = layout.credentials
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": NODE_ADDRESS,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(keys / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(keys / "kubelet.crt"),
            "tlsPrivateKeyFile": str(keys / "kubelet.key"),
            "containerRuntimeEndpoint": f"unix://{layout.containerd}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{NODE}",
            "failCgroupV1": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            # A developer's machine is often full to more than Kubernetes likes: no pod is put out for that.
            "evictionHard": dict.fromkeys(
                ("imagefs.available", "imagefs.inodesFree", "nodefs.available", "nodefs.inodesFree", "memory.available"), "0%"
            ),
            "imageGCHighThresholdPercent": 100,
            "resolvConf": "/dev/null",
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": DOMAIN,
            "makeIPTablesUtilChains": False,
            "maxPods": MAX_PODS,
            "nodeStatusUpdateFrequency": "5s",
            "registryPullQPS": 0,
            "eventRecordQPS": 0,
            "serializeImagePulls": False,
        },
        indent=1,
    )


def proxy_config(layout: Layout) -> str:
    """kube-proxy's configuration (JSON is YAML)."""
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(layout.credentials / "kube-proxy.kubeconfig")},
            "clusterCIDR": PODS,
            "hostnameOverride": NODE,
            "mode": "iptables",
            "conntrack": {"maxPerCore": 0, "min": 0},
            "iptables": {"minSyncPeriod": "0s", "syncPeriod": "30s"},
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "nodePortAddresses": ["primary"],
        },
        indent=1,
    )


def api_server_arguments(layout: Layout, etcd: str) -> tuple[str, ...]:
    """What the API server is told."""
    keys = layout.credentials
    return (
        f"--etcd-servers={etcd}",
        "--secure-port=6443",
        f"--advertise-address={NODE_ADDRESS}",
        f"--tls-cert-file={keys / 'api.crt'}",
        f"--tls-private-key-file={keys / 'api.key'}",
        f"--client-ca-file={keys / 'ca.crt'}",
        f"--token-auth-file={keys / 'tokens.csv'}",
        f"--kubelet-certificate-authority={keys / 'ca.crt'}",
        f"--kubelet-client-certificate={keys / 'api-to-kubelet.crt'}",
        f"--kubelet-client-key={keys / 'api-to-kubelet.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--service-account-key-file={keys / 'accounts.key'}",
        f"--service-account-signing-key-file={keys / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--profiling=false",
        "--feature-gates=WatchList=false",  # it needs an etcd from 3.5.13 on
    )


def controller_manager_arguments(layout: Layout) -> tuple[str, ...]:
    """What the controller manager is told: all controllers, each with an account of its own."""
    keys = layout.credentials
    return (
        f"--kubeconfig={keys / 'kube-controller-manager.kubeconfig'}",
        f"--authentication-kubeconfig={keys / 'kube-controller-manager.kubeconfig'}",
        f"--authorization-kubeconfig={keys / 'kube-controller-manager.kubeconfig'}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={keys / 'accounts.key'}",
        f"--root-ca-file={keys / 'ca.crt'}",
        "--secure-port=0",
        # Nobody is to be evicted because a small machine was busy for a minute.
        "--node-monitor-grace-period=5m",
    )


def scheduler_arguments(layout: Layout) -> tuple[str, ...]:
    """What the scheduler is told."""
    kubeconfig = layout.credentials / "kube-scheduler.kubeconfig"
    return (
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
    )
