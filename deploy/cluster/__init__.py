"""A Kubernetes cluster of one node on this machine: `python -m deploy.cluster up`, `down`, `status`, `images`.

`choice` says which kind of cluster it is; `host` starts and ends one that is made of parts; `node` is what runs inside.
Decisions (`choice`, `machine.check`, `layout`, `addons`, `volumes.wanted`) are pure.
Nothing of Windrow's packages is imported here.
"""

from deploy.cluster.cluster import Cluster
from deploy.cluster.control import down, find, up
from deploy.cluster.host import Trouble
from deploy.cluster.parts import BuildFailed, Missing

__all__ = ["BuildFailed", "Cluster", "Missing", "Trouble", "down", "find", "up"]
