"""A windrow.yaml that can't work gets one sentence: file, line, what must hold, what was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from windrow.queues import SpecError, load_specs, parse_specs

HEAD = "apiVersion: windrow.dev/v1alpha1\nkind: QueueWorker\nmetadata:\n  name: a-b\n"  # four lines

SPECS = {
    "unknown key": (
        "spec:\n  app: x\n  concurency: 2",
        7,
        "spec must hold only keys it knows, not 'concurency' (did you mean concurrency?)",
    ),
    "unknown key, nothing near": (
        "spec:\n  recycle:\n    xyz: 2",
        7,
        "spec.recycle must hold only keys it knows (tasks, memory), not 'xyz'",
    ),
    "soft beyond hard": (
        "spec:\n  timeLimits:\n    hard: 1h\n    soft: 2h",
        8,
        "spec.timeLimits.soft must be shorter than hard (1h), not '2h'",
    ),
    "soft equals hard": (
        "spec:\n  timeLimits: {soft: 1h, hard: 1h}",
        6,
        "spec.timeLimits.soft must be shorter than hard (1h), not '1h'",
    ),
    "min beyond max": (
        "spec:\n  scaling:\n    minReplicas: 5\n    maxReplicas: 3",
        7,
        "spec.scaling.minReplicas must be at most maxReplicas (3), not 5",
    ),
    "min beyond the default max": (
        "spec:\n  scaling:\n    minReplicas: 51",
        7,
        "spec.scaling.minReplicas must be at most maxReplicas (50), not 51",
    ),
    "null replicas": ("spec:\n  replicas: null", 6, "spec.replicas must be left out or have a value, not null"),
    "empty replicas": ("spec:\n  replicas:", 6, "spec.replicas must be left out or have a value, not null"),
    "text for a number": ("spec:\n  concurrency: '2'", 6, "spec.concurrency must be a whole number, not '2'"),
    "true for a number": ("spec:\n  concurrency: yes", 6, "spec.concurrency must be a whole number, not true"),
    "number for text": ("spec:\n  queue: 7", 6, "spec.queue must be text, not 7"),
    "text for true": ("spec:\n  paused: 'no'", 6, "spec.paused must be true or false, not 'no'"),
    "too small": ("spec:\n  concurrency: 0", 6, "spec.concurrency must be at least 1, not 0"),
    "too large": ("spec:\n  maxRecoveries: 101", 6, "spec.maxRecoveries must be at most 100, not 101"),
    "gevent": (
        "spec:\n  pool: gevent",
        6,
        "spec.pool must be prefork, asyncio or threads (a green-thread pool can neither end a task nor keep its lease), "
        "not 'gevent'",
    ),
    "no pool": ("spec:\n  pool: solo", 6, "spec.pool must be 'prefork', 'asyncio' or 'threads', not 'solo'"),
    "duration": (
        "spec:\n  scaling:\n    waitTarget: 30",
        7,
        "spec.scaling.waitTarget must be a duration such as 90s, 10m, 1h10m or 500ms, not 30",
    ),
    "no wait at all": ("spec:\n  scaling:\n    waitTarget: 0s", 7, "spec.scaling.waitTarget must be at least 1ms, not '0s'"),
    "too long": ("spec:\n  timeLimits:\n    hard: 1000h", 7, "spec.timeLimits.hard must be at most 168h, not '1000h'"),
    "wrong soft without hard": (
        "spec:\n  timeLimits:\n    soft: soon",
        7,
        "spec.timeLimits.soft must be a duration such as 90s, 10m, 1h10m or 500ms, not 'soon'",
    ),
    "rate": ("spec:\n  rateLimit: 0/m", 6, "spec.rateLimit must be a rate such as 10/s, 100/m or 3600/h, not '0/m'"),
    "percentage": (
        "spec:\n  objectives: {success: {target: 0.995}}",
        6,
        "spec.objectives.success.target must be a percentage from 1% to 99.9999%, such as 99.5%, not 0.995",
    ),
    "no budget at all": (
        "spec:\n  objectives:\n    start: {within: 30s, target: 100%}",
        7,
        "spec.objectives.start.target must be a percentage from 1% to 99.9999%, such as 99.5%, not '100%'",
    ),
    "a start objective without its time": (
        "spec:\n  objectives:\n    start: {target: 99%}",
        7,
        "spec.objectives.start.within must be given, not left out",
    ),
    "memory": (
        "spec:\n  recycle: {memory: 512}",
        6,
        "spec.recycle.memory must be an amount of memory such as 512Mi or 2Gi, not 512",
    ),
    "app": ("spec:\n  app: my app", 6, "spec.app must be a module and a name in it, such as shop.celery:app, not 'my app'"),
    "a key that is no queue": (
        "spec:\n  queue: windrow:events",
        6,
        "spec.queue must not begin with windrow:, _kombu., unacked: such Redis keys are no queues, not 'windrow:events'",
    ),
    "mapping for a list": (
        "spec:\n  template:\n    env: {TOKEN: secret}",
        7,
        "spec.template.env must be a list, not a mapping",
    ),
    "closed template": (
        "spec:\n  template:\n    imagePullPolicy: Always",
        7,
        "spec.template must hold only keys it knows, not 'imagePullPolicy' (did you mean imagePullSecrets?)",
    ),
    "missing": ("spec:\n  connection: {}", 6, "spec.connection.secretRef must be given, not left out"),
    "spec is no mapping": ("spec: 3", 5, "spec must be a mapping, not 3"),
    "twice the same key": ("spec:\n  concurrency: 1\n  concurrency: 2", 7, "spec.concurrency must be given once, not again"),
    "two of one name": (f"---\n{HEAD}", 9, "metadata.name must be unlike every other's, not 'a-b' as on line 4"),
    "two on one queue": (
        f"---\n{HEAD.replace('a-b', 'c')}spec:\n  queue: a_b",
        11,
        "spec.queue must be served by one QueueWorker, not 'a_b' by 'a-b' and 'c'",
    ),
    "broken YAML": (
        "spec: {concurrency: 1",
        5,
        "must be YAML (while parsing a flow mapping, expected ',' or '}', but got '<stream end>')",
    ),
    "holds itself": ("spec: &a {scaling: *a}", 5, "must not hold itself"),
}


@pytest.mark.parametrize(("body", "line", "sentence"), SPECS.values(), ids=SPECS.keys())
def test_one_sentence_with_its_line(body: str, line: int, sentence: str) -> None:
    """Each fault in a spec is said in one sentence, at the line where it stands."""
    with pytest.raises(SpecError) as caught:
        parse_specs(f"{HEAD}{body}\n", "windrow.yaml")
    assert str(caught.value) == f"windrow.yaml:{line}: {sentence}"
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "must hold at least one QueueWorker, not nothing"),
        ("---\n# nothing\n", 1, "must hold at least one QueueWorker, not nothing"),
        ("- 1\n", 1, "each document must be a mapping, not a list"),
        (HEAD.replace("v1alpha1", "v1"), 1, "apiVersion must be 'windrow.dev/v1alpha1', not 'windrow.dev/v1'"),
        (HEAD.replace("QueueWorker", "Deployment"), 2, "kind must be 'QueueWorker', not 'Deployment'"),
        (
            HEAD.replace("a-b", "A_b"),
            4,
            "metadata.name must be lower-case letters, digits and '-', with a letter or digit at both ends, not 'A_b'",
        ),
        (HEAD.replace("  name: a-b\n", "  labels: {}\n"), 3, "metadata.name must be given, not left out"),
        ("kind: List\nitems: 3\n", 2, "items must be a list of QueueWorkers"),
        (
            "a: 1\n\tb: 2\n",
            2,
            "must be YAML (while scanning for the next token, found character '\\t' that cannot start any token)",
        ),
    ],
)
def test_a_file_that_is_something_else(text: str, line: int, sentence: str) -> None:
    """A file without QueueWorkers, or with another kind of object, is refused at the line that says so."""
    with pytest.raises(SpecError) as caught:
        parse_specs(text, "windrow.yaml")
    assert str(caught.value) == f"windrow.yaml:{line}: {sentence}"


def test_the_first_fault_of_several() -> None:
    """Of several faults the one that stands first in the file is said."""
    with pytest.raises(SpecError, match=r"^windrow\.yaml:6: spec\.zzz|^windrow\.yaml:6: spec must"):
        parse_specs(f"{HEAD}spec:\n  zzz: 1\n  concurrency: 0\n  app: 3\n", "windrow.yaml")


def test_secrets_are_not_said() -> None:
    """A mapping or a list that stands in the wrong place is named by its kind: it may hold a password."""
    with pytest.raises(SpecError) as caught:
        parse_specs(f"{HEAD}spec:\n  template:\n    image: {{password: hunter2}}\n")
    assert "hunter2" not in str(caught.value)


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    """A missing file, a folder and a binary file are each said in one sentence."""
    with pytest.raises(SpecError, match=r"none\.yaml: must be a file that can be read \(No such file or directory\)$"):
        load_specs(tmp_path / "none.yaml")
    with pytest.raises(SpecError, match=r"must be a file that can be read \(Is a directory\)$"):
        load_specs(tmp_path)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match=r"binary\.yaml: must be UTF-8 text"):
        load_specs(binary)
