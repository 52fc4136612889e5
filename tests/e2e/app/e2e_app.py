"""The tasks of the end-to-end rows: each body tells the evidence pod when it starts, lives and has ended."""

import asyncio
import os
import secrets
import socket
import time
from importlib.metadata import version

import redis
from celery import Celery

import windrow

app = windrow.install(Celery("e2e"))
app.conf.task_ignore_result = True
EVIDENCE = (os.environ.get("EVIDENCE", "evidence.e2e-evidence"), 9000)


def said(what: str, task: str, token: str) -> bytes:
    return f"{what} {task} {token} {socket.gethostname()} {version('windrow')}/{os.environ.get('EDITION', '-')}\n".encode()


async def tell(what: str, task: str, token: str, tries: int = 40) -> None:
    """Tell the evidence pod, and wait until it has written that down; the loop goes on meanwhile."""
    for number in range(tries):
        try:
            reader, writer = await asyncio.wait_for(asyncio.open_connection(*EVIDENCE), 5)
            try:
                writer.write(said(what, task, token))
                writer.write_eof()
                await asyncio.wait_for(reader.read(1), 5)  # closed once it is written
                return
            finally:
                writer.close()
        except (OSError, TimeoutError):
            if number + 1 < tries:
                await asyncio.sleep(0.25)
    if tries > 1:
        raise ConnectionError(f"the evidence pod must take {what!r} of {task}, and does not")


async def _hold(task, seconds):
    token = secrets.token_hex(6)
    await tell("start", task.request.id, token)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(5, left))
        if left > 5:
            await tell("beat", task.request.id, token, tries=1)
    await tell("end", task.request.id, token)


@app.task(bind=True, name="e2e.hold")
async def hold(self, seconds):
    """Runs for so long."""
    await _hold(self, seconds)


@app.task(bind=True, name="e2e.hog")
async def hog(self, seconds, marker):
    """The first run takes memory until the kernel kills its process; a later one holds."""
    if redis.Redis.from_url(os.environ["REDIS_URL"]).set(f"e2e:{marker}", 1, nx=True, ex=3600):
        await tell("start", self.request.id, secrets.token_hex(6))
        hoard = []
        while True:
            hoard.append(bytearray(16 << 20))
    await _hold(self, seconds)


@app.task(name="e2e.nop")
def nop():
    """Nothing."""
