"""`python -m deploy.sizes`: how large Windrow's image is beyond its base, compressed and unpacked; 1 when it is too large."""

from __future__ import annotations

import gzip
import json
import sys
import tarfile
from pathlib import Path

from deploy.cluster import debian, release
from deploy.cluster.images import Builder, build_base
from deploy.cluster.parts import BuildFailed, Missing

MB = 1_000_000
MOST = {"compressed": 120.0, "unpacked": 350.0}
"""MB beyond a base with Python."""


def layers(archive: Path) -> dict[str, tuple[int, int]]:
    """The layers of a docker-archive by their digest: bytes unpacked, and compressed by gzip as registries hold them."""
    found = {}
    with tarfile.open(archive) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))  # type: ignore[arg-type]
        config = json.load(outer.extractfile(manifest[0]["Config"]))  # type: ignore[arg-type]
        for name, digest in zip(manifest[0]["Layers"], config["rootfs"]["diff_ids"], strict=True):
            packed = outer.extractfile(name)
            content = packed.read() if packed else b""
            found[digest] = (len(content), len(gzip.compress(content, 6)))
    return found


def main() -> int:
    """Build the image if need be, and measure it."""
    try:
        builder = Builder(debian.programs())
        base, tag = build_base(builder), release.own()
        builder.build(release.ROOT, tag, dockerfile=release.ROOT / "deploy/Dockerfile", args={"BASE": base})
        beneath = layers(builder.archive(base))
        own = [size for digest, size in layers(builder.archive(tag)).items() if digest not in beneath]
    except (Missing, BuildFailed) as reason:
        print(reason, file=sys.stderr)
        return 1
    sizes = {"unpacked": sum(size for size, _ in own) / MB, "compressed": sum(size for _, size in own) / MB}
    for name, size in sizes.items():
        print(f"{tag} {name}: {size:.0f} MB beyond its base, at most {MOST[name]:.0f}")
    return 0 if all(size <= MOST[name] for name, size in sizes.items()) else 1


if __name__ == "__main__":
    sys.exit(main())
