"""Images without a container registry: a base from Debian's packages, stand-ins for servers, and any Dockerfile on top of them.

buildah keeps what it builds in the user's cache folder, so a build whose sources are the same takes a moment.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.cluster import debian
from deploy.cluster.parts import HERE, BuildFailed, Missing, alone, cache, say

SUITE = "bookworm"
BASE = f"windrow.local/base:{SUITE}"
"""Debian with Python and venv: what images are built on where no registry can be reached."""
INCLUDED = ("python3", "python3-venv", "ca-certificates")
_UNWANTED = (
    "var/cache/apt",
    "var/lib/apt/lists",
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/log",
)
_AUTHORITIES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class Builder:
    """buildah, and where it keeps what it has built."""

    programs: debian.Programs

    @property
    def folder(self) -> Path:
        """Everything of buildah's."""
        return cache() / "buildah"

    def call(self, *arguments: str) -> str:
        """What a buildah command prints. Raises BuildFailed with its last lines.

        In mounts of its own: the storage mounts itself, and that would stay. There the unpacked libraries are the system's too,
        since buildah starts itself again with an empty environment.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "registries.conf").exists():
            (self.folder / "registries.conf").write_text('unqualified-search-registries = ["docker.io"]\n')
        storage = ("--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run"), "--storage-driver", "overlay")
        name, *rest = arguments
        rules = () if name in ("images", "inspect", "rmi", "rm") else ("--signature-policy", str(self.programs.policy))
        environment = self.programs.environment(
            BUILDAH_ISOLATION="chroot",
            CONTAINERS_REGISTRIES_CONF=str(self.folder / "registries.conf"),
            TMPDIR=tempfile.gettempdir(),
        )
        command = (
            "unshare",
            "--mount",
            "--",
            *_with_libraries(self.programs.libraries),
            "buildah",
            *storage,
            name,
            *rules,
            *rest,
        )
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            last = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][-12:]
            raise BuildFailed(f"`buildah {name} {' '.join(rest[-2:])}` failed: " + " / ".join(last))
        return done.stdout

    def identity(self, tag: str) -> str:
        """The id of a built image; empty when there is none."""
        try:
            return str(json.loads(self.call("inspect", "--type", "image", tag))["FromImageID"])
        except BuildFailed:
            return ""

    def build(self, context: Path, tag: str, *, dockerfile: Path | None = None, args: Mapping[str, str] | None = None) -> str:
        """Build a Dockerfile (the context's, unless one is named) and give the image's id. Raises BuildFailed.

        `args` are the build's arguments. Where a company's own authority must be trusted to reach package registries (by
        `SSL_CERT_FILE` or one of its kind), builds trust it too; it does not come into the image.
        """
        given = [part for name, value in (args or {}).items() for part in ("--build-arg", f"{name}={value}")]
        self.call(
            "build", "--layers", "--isolation", "chroot", "--pull=never", *_trust(self.folder), *given,
            "--file", str(dockerfile or context / "Dockerfile"), "--tag", tag, str(context),
        )  # fmt: skip
        return self.identity(tag)

    def archive(self, tag: str) -> Path:
        """A built image as a file that containerd and Docker load, by the name `docker.io/…` if it has no registry's."""
        identity = self.identity(tag)
        if not identity:
            raise Missing(f"the image {tag!r} must be built before it is loaded, and is not")
        path = cache() / "images" / f"{hashlib.sha256(f'{tag} {identity}'.encode()).hexdigest()[:16]}.tar"
        with alone(path.with_suffix(".lock")):
            if not path.exists():
                half = path.with_suffix(".half")
                half.unlink(missing_ok=True)
                self.call("push", tag, f"docker-archive:{half}:{qualified(tag)}")
                half.rename(path)
        return path


def qualified(tag: str) -> str:
    """An image's name as container runtimes complete it: `redis:7` is `docker.io/library/redis:7`."""
    first, _, rest = tag.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return tag
    return f"docker.io/{tag}" if rest else f"docker.io/library/{tag}"


def _with_libraries(folder: Path | None) -> tuple[str, ...]:
    if folder is None:
        return ()
    system = f"/usr/lib/{folder.name}"
    script = f'mount -t overlay -o "lowerdir={folder}:{system}" libraries {system} && exec "$@"'
    return ("sh", "-c", script, "sh")


def _trust(folder: Path) -> Sequence[str]:
    bundle = next((os.environ[name] for name in _AUTHORITIES if Path(os.environ.get(name) or "/nowhere").is_file()), None)
    if bundle is None:
        return ()
    (folder / "pip.conf").write_text(f"[global]\ncert = {_BUNDLE}\n")
    return ("--volume", f"{bundle}:{_BUNDLE}:ro", "--volume", f"{folder / 'pip.conf'}:/etc/pip.conf:ro")


def build_base(builder: Builder) -> str:
    """The base image, made once, and its name. Raises BuildFailed."""
    with alone(cache() / "base.lock"):
        if builder.identity(BASE):
            return BASE
        say("making the base image from Debian's packages: two minutes, once")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=cache(), prefix="base-") as folder:
            root, archive = Path(folder) / "root", Path(folder) / "root.tar"
            _run(
                builder.programs,
                "unshare",
                "--mount",
                "debootstrap",
                "--variant=minbase",
                f"--include={','.join(INCLUDED)}",
                SUITE,
                str(root),
            )
            for name in _UNWANTED:
                for path in (root / name).glob("*"):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            (root / "etc/resolv.conf").unlink(missing_ok=True)
            _run(builder.programs, "tar", "--numeric-owner", "--one-file-system", "-C", str(root), "-cf", str(archive), ".")
            shutil.rmtree(root)
            (Path(folder) / "Dockerfile").write_text(
                "FROM scratch\nADD root.tar /\n"
                "ENV LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                'CMD ["python3"]\n'
            )
            builder.build(Path(folder), BASE)
        say(f"made the base image in {time.monotonic() - begun:.0f} s")
    return BASE


def build_stand_in(builder: Builder, name: str, tag: str) -> str:
    """A stand-in for an official image (`redis`, `postgresql`) under the name that is asked for."""
    with alone(cache() / f"{name}.lock"):
        builder.build(HERE / "standins" / name, tag, args={"BASE": build_base(builder)})
    return tag


def _run(programs: debian.Programs, *command: str) -> None:
    done = subprocess.run(command, env={**os.environ, **programs.environment()}, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise BuildFailed(
            f"`{' '.join(command[:3])} …` failed: " + " / ".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        )
