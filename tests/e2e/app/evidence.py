"""The evidence pod: writes each line it is told, with the time, into one file."""

import os
import socketserver
import threading
import time

FILE = os.open("/tmp/evidence", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
LOCK = threading.Lock()


class Told(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline()
        if line.endswith(b"\n"):
            with LOCK:
                os.write(FILE, b"%.3f %s" % (time.time(), line))


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 1024
    daemon_threads = True
    allow_reuse_address = True


if __name__ == "__main__":
    Server(("0.0.0.0", 9000), Told).serve_forever()
