"""Whether the Celery apps that specs name can be imported: asked before anything starts, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from windrow.queues import DEFAULT_APP, QueueWorker, SpecError

_SECONDS = 60.0
_PROBE = """
import sys
from celery.app.utils import find_app
try:
    find_app(sys.argv[1])
except BaseException as error:
    text = " ".join(str(error).split())
    print(f"{type(error).__name__}: {text}" if text else type(error).__name__)
    sys.exit(1)
"""


def check_apps(specs: Sequence[QueueWorker], meanwhile: Callable[[], object] | None = None) -> None:
    """Import each distinct app in a process of its own, all at the same time; raises SpecError for the first that can't be.

    Not here: a user's module may do anything when it is imported, and the supervisor must outlive it. `meanwhile` is called
    when there is something to wait for.
    """
    apps = {spec.spec.app: spec for spec in reversed(specs) if spec.spec.app != DEFAULT_APP}
    probes = {app: _probe(app) for app in apps}
    if probes and meanwhile is not None:
        meanwhile()
    faults: dict[str, str] = {}
    for app, process in probes.items():
        try:
            output, _ = process.communicate(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            faults[app] = f"its import took more than {_SECONDS:.0f} s"
            continue
        if process.returncode != 0:
            lines = output.strip().splitlines()
            faults[app] = lines[-1] if lines else f"its import ended the process with code {process.returncode}"
    for spec in specs:
        if spec.spec.app in faults:
            sentence = f"spec.app must be a Celery app that can be imported, not {spec.spec.app!r} ({faults[spec.spec.app]})"
            raise SpecError.at(spec, "spec.app", sentence)


def _probe(app: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - the app's name is an argument, not code
        [sys.executable, "-c", _PROBE, app], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
