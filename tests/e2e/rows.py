"""The rows, in the order in which they are played."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from tests.e2e import rows_faults, rows_releases, rows_upgrade
from tests.e2e.row import Outcome, Row, together
from tests.e2e.rows_inside import inside
from tests.e2e.rows_install import by_hand, install
from tests.e2e.rows_project import own_project
from tests.e2e.stage import FOLDER, Stage


def _prepare_faults(stage: Stage) -> Outcome:
    """The queues of the fault rows come by `helm upgrade`; the default ones go."""
    values = FOLDER / "faults.yaml"
    values.write_text(yaml.safe_dump(rows_faults.values(stage.state["app:1"])))
    stage.helm("upgrade", stage.release, "charts/windrow", "-f", str(values))
    stage.served(*rows_faults.WORKERS, *rows_faults.PLATFORM)
    stage.all_ready(150)
    return Outcome()


def _upgrade(stage: Stage) -> Outcome:
    for name, edition, tag in (("before", "1", ""), ("upgraded", "2", stage.state["tag:2"])):
        values = FOLDER / f"{name}.yaml"
        values.write_text(yaml.safe_dump(rows_upgrade.values(stage.state[f"app:{edition}"], tag)))
        stage.state[f"values:{name}"] = values
    stage.helm("upgrade", stage.release, "charts/windrow", "-f", str(stage.state["values:before"]))
    stage.served("rolling", "short")
    stage.wait(lambda: not stage.queue_pods("delete", going=True), 150, "the workers of the rows before are gone")
    stage.all_ready()
    return rows_upgrade.upgrade(stage)


def _beside(stage: Stage) -> Mapping[str, Outcome]:
    """Rows on queues of their own."""
    return together(stage, {"by_hand": by_hand, "own_project": own_project, "inside": inside})


ROWS = (
    Row("install", "helm install without values", install),
    Row("queues", "helm upgrade to other queues", _prepare_faults, after=("install",)),
    Row(
        "beside",
        "0 to N to 0, kubectl scale, release, pause; a user's own Celery project; what isn't allowed, tried from inside",
        _beside,
        ("by_hand", "own_project", "inside"),
        after=("queues",),
    ),
    Row(
        "faults",
        "a busy worker pod deleted, deleted by force, evicted, its container killed, a child out of memory; "
        "then all pods of operator, servers, Redis, PostgreSQL deleted; at last the exact totals",
        rows_faults.faults,
        (*map(rows_faults.row_name, (*rows_faults.WORKERS, *rows_faults.PLATFORM)), "totals"),
        after=("queues",),
    ),
    Row("upgrade", "helm upgrade to another image under load", _upgrade, after=("install",)),
    Row("uninstall", "uninstall keeps records and definitions, a new install finds them", rows_releases.uninstall),
    Row("charts", "both orders of the two charts, helm 3 and helm 4", rows_releases.charts),
    Row("previous", "upgrade from the previous release, and the way back", rows_releases.previous),
)
