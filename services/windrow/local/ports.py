"""Whether a port is free, and who holds it when it isn't."""

from __future__ import annotations

import socket

import psutil


class PortInUse(RuntimeError):
    """The port {port} must be free, and is held by process {pid} ({name}); stop that one or choose another port."""


def check_port(host: str, port: int) -> None:
    """Raise `PortInUse` with the holder when `host:port` can't be listened on; port 0 is always free."""
    if port == 0:
        return
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortInUse(
                f"port {port} on {host} must be free, and is held by {_holder(port)} ({error.strerror}); "
                "stop that process, or set WINDROW_PORT to another port"
            ) from error


def _holder(port: int) -> str:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:  # not ours to see on this system
        return "another process"
    for connection in connections:
        if connection.laddr and connection.laddr.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
            try:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
            except psutil.NoSuchProcess:
                return f"process {connection.pid}"
    return "another process"
