"""The images that `helm install` needs, read from the chart: Windrow's own, and the servers for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from deploy.cluster.choice import Way
from deploy.cluster.cluster import Cluster
from deploy.cluster.images import build_stand_in

ROOT = Path(__file__).parents[2]
SERVERS = ("redis", "postgresql")


def image_name(image: str | Mapping[str, Any], default_tag: str = "") -> str:
    """An image as a pod names it, from a chart's value: a name, or its parts."""
    if isinstance(image, str):
        return image
    return f"{image['repository']}:{image.get('tag') or default_tag}"


def own(root: Path = ROOT) -> str:
    """The image of Windrow that the chart names."""
    chart = root / "charts" / "windrow"
    return image_name(_read(chart / "values.yaml")["image"], str(_read(chart / "Chart.yaml")["appVersion"]))


def stand_ins(root: Path = ROOT) -> dict[str, str]:
    """The stand-ins by name, and the image names that they stand in for."""
    values = _read(root / "charts" / "windrow" / "values.yaml")
    return {name: image_name(values[name]["evaluation"]["image"]) for name in SERVERS}


def provide(cluster: Cluster, root: Path = ROOT) -> list[str]:
    """Build what `helm install` without values needs and bring it into the cluster; the images' names. Raises BuildFailed."""
    tag = own(root)
    base = cluster.base
    cluster.build(root, tag, dockerfile=root / "deploy" / "Dockerfile", args={"BASE": base} if base else {})
    tags = [tag]
    if cluster.way is Way.PARTS:  # kind's node pulls the official ones
        tags += [build_stand_in(cluster.builder, name, image) for name, image in stand_ins(root).items()]
    cluster.load(*tags)
    return tags


def _read(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text()))
