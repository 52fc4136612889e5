"""Where an unprivileged account can run PostgreSQL when root starts it: which account, which copy, which folder.

PostgreSQL refuses to run as root. The checkout, or the state folder, may lie where nobody else can reach (a 0700 folder): no
mode is changed; what can't be reached is copied to, or made in, a place of root's own that can.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from windrow.local.processes import Account
from windrow.local.servers.base import ServerFailed

_NOTE = ".state"
_ACCOUNTS = ("postgres", "nobody")
_BASES = (Path("/var/lib/windrow"), Path("/var/tmp/windrow"))  # noqa: S108 - made by root, checked to be root's below


def account() -> Account | None:
    """The account PostgreSQL runs under; None when we are not root and it runs under ours."""
    if os.geteuid() != 0:
        return None
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise ServerFailed(
        f"PostgreSQL must not run as root and this machine has none of the accounts {', '.join(_ACCOUNTS)}; "
        "add one, or set DATABASE_URL"
    )


def reaches(who: Account, path: Path) -> bool:
    """Whether the account can read this file, or pass through this folder, and through every folder above it.

    Looks at modes alone: what only an access list allows counts as out of reach.
    """
    path = path.resolve()
    if not all(_allowed(who, folder, 0o1) for folder in path.parents):
        return False
    return _allowed(who, path, 0o1 if path.is_dir() else 0o4)


def base(who: Account) -> Path:
    """A folder of root's own that the account can pass through."""
    for folder in _BASES:
        try:
            folder.mkdir(mode=0o711, exist_ok=True)
        except OSError:
            continue
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and reaches(who, folder):
            return folder
    raise ServerFailed(f"one of {', '.join(map(str, _BASES))} must be a folder that root can make; or set DATABASE_URL")


def copy_within_reach(who: Account, root: Path, parts: Sequence[Path], version: str) -> Path:
    """A copy of these folders of `root` that the account can read, made once for each version; returns the copy of `root`."""
    target = base(who) / f"postgresql-{version}"
    if not target.exists():
        fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix="new-"))
        for part in parts:
            shutil.copytree(part, fresh / part.relative_to(root), symlinks=True, ignore=_without_development_files)
        for folder, _, files in os.walk(fresh):
            os.chmod(folder, 0o755)  # noqa: S103 - programs, readable like those in /usr
            for file in files:
                path = Path(folder, file)
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        try:
            fresh.rename(target)
        except OSError:  # another platform made it meanwhile
            shutil.rmtree(fresh)
    return target


def data_folder(who: Account, state_dir: Path) -> Path:
    """A new folder for the data of this state folder, within the account's reach; a note beside it says whose it is."""
    owner = state_dir.resolve()
    place = base(who)
    _remove_orphans(place)
    digest = hashlib.sha256(str(owner).encode()).hexdigest()[:12]
    folder = Path(tempfile.mkdtemp(dir=place, prefix=f"data-{digest}-"))
    folder.with_suffix(_NOTE).write_text(str(owner), encoding="utf-8")
    os.chown(folder, who.uid, who.gid)
    return folder


def _remove_orphans(place: Path) -> None:
    """Remove the data of state folders that lay in the temporary folder and are gone, as those of tests are.

    Of others: a state folder that isn't there may be on a disk that isn't there.
    """
    temporary = Path(tempfile.gettempdir()).resolve()
    for note in place.glob(f"data-*{_NOTE}"):
        try:
            owner = Path(note.read_text(encoding="utf-8"))
        except FileNotFoundError:  # another platform removes it at this moment
            continue
        if owner.is_relative_to(temporary) and not owner.exists():
            shutil.rmtree(note.with_suffix(""), ignore_errors=True)
            note.unlink(missing_ok=True)


def _allowed(who: Account, path: Path, bit: int) -> bool:
    found = path.stat()
    if found.st_uid == who.uid:
        bit <<= 6
    elif found.st_gid == who.gid:
        bit <<= 3
    return bool(found.st_mode & bit)


def _without_development_files(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name == "include" or name == "pkgconfig" or name.endswith(".a")}
