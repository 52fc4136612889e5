"""AWS's published example for workers behind a queue, put to the policy itself."""

from __future__ import annotations

from benchmarks.operator.report import Row, least, most
from windrow.queues.load import parse_specs
from windrow.scaling import History, Observation, WorkerState, decide, need

SPEC = """
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: example}
spec: {concurrency: 1, scaling: {maxReplicas: 100, waitTarget: 10s}}
"""
WAITING, WORKERS, RUN_SECONDS, MORE = 1500, 10, 0.1, 5


def aws_example() -> Row:
    """1,500 messages wait, 10 workers run, 0.1 s each, 10 s are acceptable."""
    default, sentence = _answer()
    headroom = need.HEADROOM
    try:
        need.HEADROOM = 1.0
        plain, _ = _answer()
    finally:
        need.HEADROOM = headroom
    return Row(
        "aws_example",
        f"{WAITING:,} messages wait, {WORKERS} workers, {RUN_SECONDS:g} s each, 10 s acceptable: more workers",
        (
            least(f"more with the {headroom:g} headroom off", plain - WORKERS, MORE),
            most("more with it off", plain - WORKERS, MORE),
        ),
        {"default_workers": default, "default_sentence": sentence},
        f"the default's answer: {default} workers, {default - WORKERS} more ({sentence})",
    )


def _answer() -> tuple[int, str]:
    workers = tuple(WorkerState(id=f"w{n}", name=f"w{n}", slots=1, busy=1, taken=1, state="ready") for n in range(WORKERS))
    seen = Observation(at=0.0, ready=WAITING, in_flight=WORKERS, oldest_age=0.0, workers=workers, mean_run=RUN_SECONDS)
    decision, _ = decide(parse_specs(SPEC)[0], seen, History())
    return decision.replicas, decision.sentence
