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


def tell(what: str, task: str, token: str, tries: int = 40) -> None:
    text = f"{what} {task} {token} {socket.gethostname()} {version('windrow')}/{os.environ.get('EDITION', '-')}\n"
    for number in range(tries):
        try:
            with socket.create_connection(EVIDENCE, timeout=5) as connection:
                connection.sendall(text.encode())
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1)  # closed once it is written
                return
        except OSError:
            if number + 1 == tries:
                raise
            time.sleep(0.25)


async def _hold(task, seconds):
    token = secrets.token_hex(6)
    tell("start", task.request.id, token)
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(5, left))
        tell("beat", task.request.id, token, tries=1) if left > 5 else None
    tell("end", task.request.id, token)


@app.task(bind=True, name="e2e.hold")
async def hold(self, seconds):
    """Runs for so long."""
    await _hold(self, seconds)


@app.task(bind=True, name="e2e.hog")
async def hog(self, seconds, marker):
    """The first run takes memory until the kernel kills its process; a later one holds."""
    if redis.Redis.from_url(os.environ["REDIS_URL"]).set(f"e2e:{marker}", 1, nx=True, ex=3600):
        tell("start", self.request.id, secrets.token_hex(6))
        hoard = []
        while True:
            hoard.append(bytearray(16 << 20))
    await _hold(self, seconds)


@app.task(name="e2e.nop")
def nop():
    """Nothing."""
