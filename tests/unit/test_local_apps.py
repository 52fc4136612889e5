"""Apps are imported before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from windrow.local.apps import check_apps
from windrow.queues import SpecError, default_specs, load_specs

SPECS = """\
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: one}
spec:
  app: tests.apps.evidence:app
---
apiVersion: windrow.dev/v1alpha1
kind: QueueWorker
metadata: {name: two}
spec:
  queue: two
  app: %s
"""


@pytest.mark.parametrize(
    ("app", "why"),
    [
        ("no_such_module.celery:app", "No module named 'no_such_module'"),
        ("tests.apps.evidence:missing", "missing"),
    ],
)
def test_an_app_that_can_not_be_imported_is_one_sentence_with_its_line(tmp_path: Path, app: str, why: str) -> None:
    """File, line, what must hold, what was given, and what the import said."""
    file = tmp_path / "windrow.yaml"
    file.write_text(SPECS % app)
    with pytest.raises(SpecError) as refused:
        check_apps(load_specs(file))
    sentence = str(refused.value)
    assert sentence.startswith(f"{file}:12: spec.app must be a Celery app that can be imported, not {app!r} (")
    assert why in sentence
    assert "\n" not in sentence


def test_apps_that_can_be_imported_pass(tmp_path: Path) -> None:
    """An app that several specs name is imported once; Windrow's own is known."""
    file = tmp_path / "windrow.yaml"
    file.write_text(SPECS % "tests.apps.evidence:app")
    check_apps(load_specs(file))
    check_apps(default_specs())
