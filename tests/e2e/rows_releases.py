"""Releases come and go: both charts in both orders, the previous release and back, workers beside servers of another one."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

from tests.e2e.row import Outcome
from tests.e2e.stage import FOLDER, ROOT, Stage, clock, spread

PREVIOUS = ROOT / "deploy" / "previous-release"
CRD = "crd/queueworkers.windrow.dev"
NEW_KEY = "runtimeClassName"
"""What the definition of QueueWorkers has since the previous release."""
BUSY = 100
"""Tasks that run or wait when the release is uninstalled, of 100 slots at most."""
LIMITS = {"soft": "80s", "hard": "90s"}
CRDS = ("upgrade", "--install", "windrow-crds")


class NoHistory(Exception):
    """This clone has not the commit of the previous release, which only a shallow one lacks."""


def charts(stage: Stage) -> Outcome:
    """Both orders of the two charts, by helm 3 and by helm 4: nothing hangs, and the definition with its objects stays."""
    outcome = Outcome()
    for major in (4, 3):
        for first in ("windrow-crds", "windrow"):
            _clean(stage)
            begun = clock()
            if first == "windrow-crds":
                stage.helm(*CRDS, "charts/windrow-crds", "--create-namespace", major=major)
                stage.helm("install", stage.release, "charts/windrow", "--wait", "--timeout", "3m", major=major)
                stage.helm("uninstall", "windrow-crds", "--wait", major=major)
                stage.helm("uninstall", stage.release, "--wait", "--timeout", "2m", major=major)
            else:
                stage.helm(
                    "install", stage.release, "charts/windrow", "--create-namespace", "--wait", "--timeout", "3m", major=major
                )
                stage.helm(*CRDS, "charts/windrow-crds", "--take-ownership", major=major)
                stage.helm("uninstall", stage.release, "--wait", "--timeout", "2m", major=major)
                stage.helm("uninstall", "windrow-crds", "--wait", major=major)
            outcome.check(
                stage.kubectl("get", CRD, "-o", "name", check=False).strip(),
                f"the definition must stay ({first} first, helm {major})",
            )
            outcome.notes[f"{first}_first_helm{major}_s"] = round(clock() - begun, 1)
    return outcome


def previous(stage: Stage) -> Outcome:
    """The previous release with tasks running, its upgrade with a changed definition and a migration, and the way back."""
    outcome = Outcome()
    try:
        old, tag = _previous(stage)
    except NoHistory as reason:
        print(f"*** the upgrade from the previous release is NOT PLAYED: {reason} ***", file=sys.stderr, flush=True)
        outcome.notes["NOT PLAYED"] = str(reason)
        return outcome
    _clean(stage)
    stage.helm(*CRDS, str(old / "charts/windrow-crds"), "--create-namespace")
    held = stage.state["app:old"]
    values = _values("both", held)
    stage.helm("install", stage.release, str(old / "charts/windrow"), "-f", str(values), "--skip-crds")
    _serving(stage, outcome, "old workers and server", tag, held)
    revision = stage.sql("select version_num from windrow.alembic_version")[0][0]

    before = stage.kubectl("get", CRD, "-o", "yaml")
    running = stage.send("e2e.hold", "mixed", spread(40))
    stage.in_flight(running, 40)
    stage.helm(*CRDS, "charts/windrow-crds")
    stage.helm("upgrade", stage.release, "charts/windrow", "-f", str(values), "--skip-crds")
    stage.all_ready(120)
    changed = stage.kubectl("get", CRD, "-o", "yaml")
    outcome.check(NEW_KEY not in before and NEW_KEY in changed, f"the upgrade of windrow-crds must bring {NEW_KEY}")
    _serving(stage, outcome, "old workers, new server", stage.version, held)
    now = stage.sql("select version_num from windrow.alembic_version")[0][0]
    outcome.check(now != revision, f"the upgrade must migrate, and the tables are still at {revision}")
    outcome.notes |= {"migrated": f"{revision} → {now}", "from": tag, "to": stage.version}
    stage.helm("upgrade", stage.release, "charts/windrow", "-f", str(_values("new", stage.state["app:1"])), "--skip-crds")
    stage.all_ready(120)
    _serving(stage, outcome, "new workers and server", stage.version, stage.state["app:1"])

    later = stage.send("e2e.hold", "mixed", spread(40))
    stage.in_flight(later, 40)
    stage.helm(
        "upgrade",
        stage.release,
        str(old / "charts/windrow"),
        "-f",
        str(_values("new-on-old", stage.state["app:1"])),
        "--skip-crds",
    )
    stage.all_ready(120)
    _serving(stage, outcome, "new workers, old server", tag, stage.state["app:1"])
    told = stage.sql("select distinct coalesce(version, 'untold') from windrow.attempts order by 1")
    outcome.check(told == [[stage.version], ["untold"]], f"attempts must name the release that ran them, and name {told}")
    stage.helm("rollback", stage.release, "1")
    stage.all_ready(120)
    _serving(stage, outcome, "rolled back", tag, held)
    outcome.add(stage.settled([*running, *later], 150), repeats=False)
    return outcome


def uninstall(stage: Stage) -> Outcome:
    """`helm uninstall` hangs on nothing; records and definitions stay, as NOTES say; a new install finds them."""
    outcome = Outcome()
    _clean(stage)
    path = str(_values("last", stage.state["app:1"]))
    notes = stage.helm("install", stage.release, "charts/windrow", "--create-namespace", "-f", path)
    outcome.check(
        "windrow-crds" in notes and "uninstall" in notes.lower(),
        "NOTES must say what an uninstall keeps, and how definitions are upgraded",
    )
    stage.all_ready()
    stage.start_producer(stage.state["app:1"])
    done = stage.send("e2e.hold", "mixed", [[1]] * 10)
    outcome.add(stage.settled(done, 60), repeats=False)
    busy = stage.send("e2e.hold", "mixed", spread(BUSY, 5, 15))
    stage.in_flight(busy, BUSY // 2)
    begun = clock()
    stage.helm("uninstall", stage.release, "--wait", "--timeout", "3m")
    stage.wait(lambda: not _left(stage), 120, "no pod of the release or of its workers is left")
    outcome.notes["uninstall_s"] = round(clock() - begun, 1)
    outcome.check(stage.kubectl("get", CRD, "-o", "name", check=False).strip(), "the definition must stay after an uninstall")
    stage.helm("install", stage.release, "charts/windrow", "-f", str(_values("last", stage.state["app:1"])))
    stage.all_ready()
    found = stage.records(done)
    outcome.check(
        set(found.values()) == {"success"} and len(found) == len(done),
        f"a new install must find the {len(done)} records, and finds {len(found)}",
    )
    stage.start_producer(stage.state["app:1"])
    verdict = stage.settled(busy, 150)
    outcome.accepted += verdict.accepted
    outcome.notes["accepted before the uninstall"] = (
        f"{len(busy) - verdict.missing} of {len(busy)}, {verdict.repeated} ran again"
    )
    outcome.check(not verdict.missing, f"what was accepted before the uninstall must run: {verdict.detail}")
    again = stage.send("e2e.hold", "mixed", [[1]] * 5)
    outcome.add(stage.settled(again, 60), repeats=False)
    return outcome


def _left(stage: Stage) -> list[str]:
    """Pods of the release's namespace that are not the tests' own."""
    names = [str(pod["metadata"]["name"]) for pod in stage.pods(going=True)]
    return [name for name in names if name != "producer"]


def _serving(stage: Stage, outcome: Outcome, which: str, server: str, image: str) -> None:
    """Tasks run on workers of that image while the servers are of that version."""
    stage.served("mixed")
    stage.wait(lambda: _images(stage, "windrow.dev/queueworker=mixed") == {image}, 150, f"{which}: the workers are of {image}")
    stage.all_ready(120)
    tags = {one.rpartition(":")[2] for one in _images(stage, "app.kubernetes.io/component=server")}
    outcome.check(tags == {server}, f"{which}: the servers must be of {server}, and are of {tags}")
    if not stage.get("pod", "producer"):
        stage.start_producer(image)
    ids = stage.send("e2e.hold", "mixed", [[1]] * 20)
    verdict = stage.settled(ids, 60)
    outcome.add(verdict, repeats=False)
    outcome.notes[which] = f"{verdict.accepted - verdict.missing} of {verdict.accepted}"


def _images(stage: Stage, selector: str) -> set[str]:
    return {one["image"] for pod in stage.pods(selector) for one in pod["spec"]["containers"]}


def _values(name: str, image: str) -> Path:
    """One queue of the tests' own, with workers all the time."""
    queues = dict.fromkeys(("high-priority", "default", "file-queue", "long-running", "celery"))
    mixed = {
        "app": "e2e_app:app", "pool": "asyncio", "concurrency": 50, "timeLimits": LIMITS,
        "scaling": {"minReplicas": 1, "maxReplicas": 2, "scaleDownWindow": "10s"}, "template": {"image": image},
    }  # fmt: skip
    path = FOLDER / f"release-{name}.yaml"
    path.write_text(yaml.safe_dump({"queues": {**queues, "mixed": mixed}}))
    return path


def _previous(stage: Stage) -> tuple[Path, str]:
    """The previous release's sources, as committed, with its images built and loaded; its folder and its version."""
    version, commit = PREVIOUS.read_text().split()
    folder = FOLDER / f"previous-{version}"
    if not folder.exists():
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=False)
        if packed.returncode != 0:
            raise NoHistory(f"commit {commit} of {version} must be in this clone's history, and is not: fetch all of it")
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
            archive.extractall(folder, filter="data")
    tag, base = f"windrow/windrow:{version}", stage.cluster.base
    stage.cluster.build(folder, tag, dockerfile=folder / "deploy/Dockerfile", args={"BASE": base} if base else {})
    stage.cluster.build(Path(__file__).parent / "app", "windrow-e2e/app:old", args={"WINDROW": tag, "EDITION": "old"})
    stage.cluster.load(tag, "windrow-e2e/app:old")
    stage.state["app:old"] = "windrow-e2e/app:old"
    return folder, version


def _clean(stage: Stage) -> None:
    """No release, no volume of one, no definition."""
    for release in (stage.release, "windrow-crds"):
        stage.helm("uninstall", release, "--wait", "--timeout", "3m", "--ignore-not-found")
    stage.kubectl("delete", "ns", stage.namespace, "--ignore-not-found", "--timeout=150s")
    stage.kubectl("delete", CRD, "--ignore-not-found", "--timeout=60s")
