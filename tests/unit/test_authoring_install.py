"""`install` makes any Celery app a Windrow app, whenever it is called."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from celery import Celery, Task, chain, chord, current_task, shared_task
from kombu.exceptions import EncodeError

import windrow
from windrow.authoring.base import TaskMixin

URL = "redis://127.0.0.1:1/0"
_names = itertools.count()


class OwnBase(Task):
    """A task class that somebody brought along."""

    seen: list[str] = []  # noqa: RUF012

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Note it."""
        self.seen.append(self.name)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Celery:
    """A plain app, not installed."""
    for name in ("REDIS_URL", "WINDROW_KEY_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    made = Celery(f"plain{next(_names)}", set_as_current=False)
    yield made
    made.close()


def _tasks(app: Celery) -> dict[str, Any]:
    @app.task(bind=True, shared=False)
    async def bound(self, value, execution_id=None):
        """Its documentation."""
        return [self.request.id is not None, current_task.name == self.name, value, execution_id]

    @app.task(shared=False)
    async def free(value):
        return value

    @app.task(base=OwnBase, shared=False)
    async def own_base(value):
        return value

    @app.task(bind=True, shared=False, autoretry_for=(ValueError,), max_retries=2, retry_backoff=True)
    async def retrying(self):
        if self.request.retries < 2:
            raise ValueError
        return self.request.retries

    @app.task(shared=False)
    def plain(value, times=1):
        return value * times

    return {"bound": bound, "free": free, "own_base": own_base, "retrying": retrying, "plain": plain}


@pytest.mark.parametrize("when", ["before", "after", "finalized", "twice"])
def test_tasks_work_whenever_the_app_is_installed(app: Celery, when: str) -> None:
    """Before the tasks are made, after, after the app is finalized, and twice: async bodies run, in every kind of task."""
    if when in ("before", "twice"):
        windrow.install(app, URL)
    tasks = _tasks(app)
    if when == "finalized":
        app.finalize()
    if when != "before":
        windrow.install(app, URL)
    assert tasks["bound"].apply(args=["v"]).get() == [True, True, "v", None]
    assert tasks["free"].apply(args=["v"]).get() == "v"
    assert tasks["own_base"].apply(args=["v"]).get() == "v"
    assert tasks["own_base"].name in OwnBase.seen
    assert tasks["retrying"].apply().get() == 2
    assert tasks["plain"].apply(args=["v"], kwargs={"times": 2}).get() == "vv"
    assert tasks["bound"].__doc__ == "Its documentation."
    assert all(isinstance(task, TaskMixin) for task in app.tasks.values())


def test_the_signature_is_kept(app: Celery) -> None:
    """Celery's check of the arguments still knows the function's signature."""
    windrow.install(app, URL)
    tasks = _tasks(app)
    for name in ("bound", "free"):
        with pytest.raises(TypeError, match=r"(missing|takes) .*argument"):
            tasks[name].delay()
        with pytest.raises(TypeError, match="unexpected keyword"):
            tasks[name].delay("v", nonsense=1)


def test_class_based_tasks_are_windrows_too(app: Celery) -> None:
    """A task class that is registered gets its coroutine run."""
    windrow.install(app, URL)

    class Mine(Task):
        name = "mine"

        async def run(self, value):
            return [self.request.id is not None, value]

    task = app.register_task(Mine())
    assert task.apply(args=["v"]).get() == [True, "v"]


def test_shared_tasks_work_with_and_without_an_installed_app(app: Celery) -> None:
    """`windrow.task` runs a coroutine in any app, Celery's `shared_task` in an installed one."""

    @windrow.task(bind=True, max_retries=7)
    async def ours(self, value):
        return [self.max_retries, value]

    @windrow.task
    def sync(value):
        return value

    @shared_task
    async def celerys(value):
        return value

    with pytest.raises(TypeError, match="must be given a function"):
        windrow.task("name")
    app.set_current()
    assert ours.apply(args=["v"]).get() == [7, "v"]
    assert sync.apply(args=["v"]).get() == "v"
    windrow.install(app, URL)
    assert ours.apply(args=["v"]).get() == [7, "v"]
    assert celerys.apply(args=["v"]).get() == "v"


def test_apply_never_fills_in_execution_id(app: Celery) -> None:
    """`apply()` makes no record, so there is no id to fill in."""
    windrow.install(app, URL)
    assert _tasks(app)["bound"].apply(args=["v"]).get()[3] is None


def test_the_configuration_is_windrows(app: Celery) -> None:
    """Transport, JSON both ways, the broker and, since the app has none, the result backend."""
    windrow.install(app, URL, "pre:")
    assert app.conf.broker_transport == "windrow.broker.transport:Transport"
    assert (app.conf.broker_url, app.conf.result_backend) == (URL, URL)
    assert (app.conf.accept_content, app.conf.task_serializer, app.conf.result_serializer) == (["json"], "json", "json")
    assert app.conf.broker_transport_options["global_keyprefix"] == "pre:"
    assert app.conf.result_backend_transport_options["global_keyprefix"] == "pre:"


def test_the_apps_own_result_backend_stays(app: Celery) -> None:
    """A result backend that the app has set, even after install, is not replaced."""
    app.conf.result_backend = "cache+memory://"
    windrow.install(app, URL)
    assert app.conf.result_backend == "cache+memory://"


def test_a_configuration_read_later_keeps_windrows_settings(app: Celery) -> None:
    """`config_from_object` after install: the app's settings hold, Windrow's stay over them."""
    windrow.install(app, URL)
    app.config_from_object({"task_serializer": "pickle", "broker_url": "amqp://elsewhere", "timezone": "Europe/Vienna"})
    assert (app.conf.task_serializer, app.conf.broker_url, app.conf.timezone) == ("json", URL, "Europe/Vienna")


def test_installing_again_moves_the_app(app: Celery) -> None:
    """A second install with another URL moves broker and result backend."""
    windrow.install(app, URL)
    assert app.conf.result_backend == URL
    windrow.install(app, "redis://127.0.0.1:2/0")
    assert app.conf.broker_url == app.conf.result_backend == "redis://127.0.0.1:2/0"


def test_what_is_no_json_raises_in_the_producer(app: Celery) -> None:
    """An argument that isn't JSON, and a serializer that isn't, are refused before anything is published."""
    windrow.install(app, URL)
    plain = _tasks(app)["plain"]
    with pytest.raises(EncodeError, match="must be JSON, not 'pickle'"):
        plain.apply_async(args=["v"], serializer="pickle")


def test_a_task_made_twice_is_one_task(app: Celery, recwarn: pytest.WarningsRecorder) -> None:
    """Celery knows by the function that a task is registered again; the body put around it does not hide that."""
    windrow.install(app, URL)

    async def work(value):
        return value

    first = app.task(name="work", shared=False)(work)
    second = app.task(name="work", shared=False)(work)
    assert first.name == second.name
    assert app.tasks["work"]
    assert not [warning for warning in recwarn if "'work' is already registered" in str(warning.message)]


def test_an_applied_chain_hands_results_on_as_a_worker_does(app: Celery) -> None:
    """In `apply()` too a result goes past `execution_id`; what a caller or a body gives by place stays there."""
    windrow.install(app, URL)

    @app.task(shared=False)
    def word(text="word"):
        return text

    @app.task(shared=False)
    def shout(execution_id=None, text=None, times=1):
        return [execution_id, text, times]

    @app.task(shared=False)
    def caller(text):
        return shout.s().apply(("by the body", text)).get()

    assert chain(word.s(), shout.s()).apply().get() == [None, "word", 1]
    assert chain(word.s(), shout.s(3)).apply().get() == [None, "word", 3]
    assert chain(word.s(), shout.si("mine")).apply().get() == ["mine", None, 1]
    assert chain(shout.s("x"), word.s()).apply(("given",)).get() == ["given", "x", 1]
    assert chord([word.s(), word.s("b")], shout.s()).apply().get() == [None, ["word", "b"], 1]
    assert chain(word.s(), caller.s()).apply().get() == ["by the body", "word", 1]
    assert shout.s().apply(("given",)).get() == ["given", None, 1]


def test_an_app_may_be_installed_between_the_first_use_of_two_tasks() -> None:
    """One task was used before the app was installed, another was not: both are Windrow's afterwards."""
    app = Celery("halfway", broker="redis://127.0.0.1:1/0", set_as_current=False)

    @app.task
    def used(): ...

    @app.task
    def unused(): ...

    assert used.name  # makes the task, and not the other
    windrow.install(app, "redis://127.0.0.1:1/0")
    for task in (used, unused):
        assert task.Strategy == "windrow.worker.strategy:default"
