"""Sends the calls that it reads as JSON and prints the ids of what was accepted.

{"task", "queue", "args": [[…], …]}; with "every": seconds between two of them.
"""

import json
import sys
import time

from e2e_app import app

said = json.load(sys.stdin)
task = app.tasks.get(said["task"])
begun = time.monotonic()
for number, arguments in enumerate(said["args"]):
    time.sleep(max(0.0, begun + number * said.get("every", 0) - time.monotonic()))
    if task is not None:
        print(task.apply_async(arguments, queue=said["queue"]).id)
    else:
        print(app.send_task(said["task"], arguments, queue=said["queue"]).id)
