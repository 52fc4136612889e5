"""Queue `high_priority`: fetch over HTTP, asynchronously, on the one event loop of the worker's process."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

from windrow import task

_sessions: dict[asyncio.AbstractEventLoop, Any] = {}


class Unavailable(ConnectionError):
    """The server said 5xx or did not answer: trying again may help."""


class NotThere(LookupError):
    """The server said 4xx: the address is wrong, and trying again would not help."""


def _session() -> Any:
    import aiohttp  # an extra: who never fetches needs no HTTP client

    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        _sessions[loop] = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
    return _sessions[loop]


@task(
    queue="high_priority",
    autoretry_for=(Unavailable,),
    max_retries=4,
    retry_backoff=1,
    retry_backoff_max=4,
    retry_jitter=True,
    soft_time_limit=15,
    time_limit=25,
)
async def fetch(url: str) -> dict[str, Any]:
    """Fetch `url`; returns its size and SHA-256.

    Raises Unavailable (tried again after 1, 2, 4, 4 s at most) and NotThere.
    """
    import aiohttp

    try:
        async with _session().get(url) as response:
            content = await response.read()
            status = response.status
    except (aiohttp.ClientConnectionError, TimeoutError) as error:
        raise Unavailable(f"{url} must answer: {error}") from error
    if status >= 500:
        raise Unavailable(f"{url} answered {status}")
    if status >= 400:
        raise NotThere(f"{url} must exist, the server answered {status}")
    return {"url": url, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
