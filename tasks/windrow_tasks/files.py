"""Queue `file_queue`: checksum and compress files."""

from __future__ import annotations

import bz2
import hashlib
from pathlib import Path
from typing import Any

from windrow import task

CHUNK = 256 * 1024
SOFT_SECONDS = 2.0
"""A file that takes longer is too large for this queue: it ends `timed_out`."""


@task(
    queue="file_queue",
    bind=True,
    autoretry_for=(FileNotFoundError,),
    max_retries=3,
    default_retry_delay=2,
    soft_time_limit=SOFT_SECONDS,
    time_limit=10,
)
def pack_file(self: Any, path: str, outbox: str) -> dict[str, Any]:
    """Compress `path` into the folder `outbox`, named after its SHA-256; tells how far it is.

    A file that isn't there yet is tried again every two seconds, three times. Packing the same content twice gives the same
    file, so a repeated attempt does no harm.
    """
    source, folder = Path(path), Path(outbox)
    digest, packer, packed = hashlib.sha256(), bz2.BZ2Compressor(1), 0
    part = folder / f"{self.request.id}.part"
    try:
        with source.open("rb") as raw, part.open("wb") as target:
            size = source.stat().st_size
            while chunk := raw.read(CHUNK):
                digest.update(chunk)
                packed += target.write(packer.compress(chunk))
                if size > 8 * CHUNK:
                    self.update_state(state="PROGRESS", meta={"read": raw.tell(), "of": size})
            packed += target.write(packer.flush())
        part.replace(folder / f"{digest.hexdigest()}.bz2")
    finally:
        part.unlink(missing_ok=True)
    return {"file": source.name, "sha256": digest.hexdigest(), "bytes": size, "packed": packed}
