"""The API server and the model judge a QueueWorker alike: what one accepts, the other does, with the same values."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.cluster.api import QUEUEWORKERS, Api, Refused
from windrow.queues import QueueWorker

GOOD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "all": {
        "queue": "long_running",
        "app": "myproject.celery:app",
        "pool": "prefork",
        "concurrency": 2,
        "acksLate": True,
        "timeLimits": {"soft": "1h", "hard": "1h10m"},
        "rateLimit": "100/m",
        "maxRecoveries": 3,
        "recycle": {"tasks": 1000, "memory": "512Mi"},
        "paused": False,
        "replicas": 4,
        "scaling": {
            "minReplicas": 1,
            "maxReplicas": 10,
            "waitTarget": "30s",
            "scaleDownWindow": "2m",
            "fallbackReplicas": 3,
        },
        "connection": {"secretRef": {"name": "redis"}},
        "template": {
            "image": "shop:1",
            "imagePullSecrets": [{"name": "registry"}],
            "serviceAccountName": "robot",
            "labels": {"team": "post"},
            "annotations": {"note": "x" * 1000},
            "resources": {"limits": {"memory": "1Gi", "cpu": 1}},
            "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "envFrom": [{"configMapRef": {"name": "flags"}}],
            "volumes": [{"name": "data", "emptyDir": {}}],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
            "initContainers": [{"name": "fetch", "image": "x", "args": ["a", "b"]}],
            "podSecurityContext": {"runAsUser": 1000},
            "priorityClassName": "batch",
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
            "affinity": {"nodeAffinity": {}},
            "tolerations": [{"operator": "Exists"}],
            "nodeSelector": {"pool": "spot"},
        },
    },
    "a queue with every letter it may have": {"queue": "Az09_.:@+-"},
    "a queue of 128 characters": {"queue": "q" * 128},
    "a queue that only has a reserved word inside": {"queue": "my-windrow:x"},
    "asyncio": {"pool": "asyncio"},
    "threads": {"pool": "threads"},
    "the least numbers": {"concurrency": 1, "maxRecoveries": 0, "replicas": 0, "recycle": {"tasks": 1}},
    "the most numbers": {"concurrency": 1000, "maxRecoveries": 100, "replicas": 10_000, "recycle": {"tasks": 1_000_000_000}},
    "pinned outside its bounds": {"replicas": 90, "scaling": {"maxReplicas": 10}},
    "as few as at most": {"scaling": {"minReplicas": 7, "maxReplicas": 7}},
    "a window of nothing": {"scaling": {"scaleDownWindow": "0s"}},
    "a soft limit alone": {"timeLimits": {"soft": "168h"}},
    "a hard limit alone": {"timeLimits": {"hard": "168h"}},
    "the shortest limit": {"timeLimits": {"hard": "1ms"}},
    "soft a millisecond under hard": {"timeLimits": {"soft": "59m59s999ms", "hard": "1h"}},
    "a duration with leading zeros": {"timeLimits": {"hard": "000000000000000000000000000001h"}},
    "empty parts": {"timeLimits": {}, "recycle": {}, "scaling": {}, "template": {}},
}

LIMITS = "spec.timeLimits"
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "gevent": ({"pool": "gevent"}, "must be prefork, asyncio or threads (a green-thread pool can neither end a task"),
    "eventlet": ({"pool": "eventlet"}, "must be prefork, asyncio or threads"),
    "a pool that is none": ({"pool": "solo"}, "must be prefork, asyncio or threads"),
    "reserved windrow": (
        {"queue": "windrow:x"},
        "must not begin with windrow:, _kombu., unacked: such Redis keys are no queues",
    ),
    "reserved kombu": ({"queue": "_kombu.x"}, "must not begin with windrow:, _kombu., unacked"),
    "reserved unacked": ({"queue": "unacked_index"}, "must not begin with windrow:, _kombu., unacked"),
    "a space in the queue": ({"queue": "a b"}, "must be letters, digits and any of _ . : @ + -"),
    "a line's end in the queue": ({"queue": "a\n"}, "must be letters, digits and any of _ . : @ + -"),
    "an empty queue": ({"queue": ""}, "must be letters, digits and any of _ . : @ + -"),
    "an app that is no path": ({"app": "shop-celery:app"}, "must be a module and a name in it, such as shop.celery:app"),
    "soft as hard": ({"timeLimits": {"soft": "1h", "hard": "60m"}}, "must be shorter than hard (60m)"),
    "soft over hard": ({"timeLimits": {"soft": "2h", "hard": "1h10m"}}, "must be shorter than hard (1h10m)"),
    "a limit in days": ({"timeLimits": {"hard": "1d"}}, "must be a duration such as 90s, 10m, 1h10m or 500ms"),
    "an empty limit": ({"timeLimits": {"soft": ""}}, "must be a duration such as"),
    "a limit with a fraction": ({"timeLimits": {"soft": "1.5h"}}, "must be a duration such as"),
    "no time at all": ({"timeLimits": {"hard": "0s"}}, "must be at least 1ms and at most 168h"),
    "over a week": ({"timeLimits": {"hard": "168h1ms"}}, "must be at least 1ms and at most 168h"),
    "longer than anything": ({"timeLimits": {"hard": "9999999999999999999999h"}}, "must be at least 1ms and at most 168h"),
    "a target of nothing": ({"scaling": {"waitTarget": "0s"}}, "must be at least 1ms and at most 168h"),
    "more at least than at most": ({"scaling": {"minReplicas": 5, "maxReplicas": 4}}, "must be at most maxReplicas"),
    "more at least than the default": ({"scaling": {"minReplicas": 51}}, "must be at most maxReplicas"),
    "a rate of nothing": ({"rateLimit": "0/m"}, "must be a rate such as 10/s, 100/m or 3600/h"),
    "a rate a day": ({"rateLimit": "5/d"}, "must be a rate such as"),
    "memory without a unit": ({"recycle": {"memory": "512"}}, "must be an amount of memory such as 512Mi or 2Gi"),
    # What the schema itself says, in the API server's own words.
    "no slots": ({"concurrency": 0}, "spec.concurrency"),
    "too many slots": ({"concurrency": 1001}, "spec.concurrency"),
    "slots as text": ({"concurrency": "2"}, "spec.concurrency"),
    "half a slot": ({"concurrency": 1.5}, "spec.concurrency"),
    "a pin under zero": ({"replicas": -1}, "spec.replicas"),
    "a word for yes": ({"paused": "yes"}, "spec.paused"),
    "no Secret": ({"connection": {}}, "spec.connection.secretRef"),
    "a Secret without a name": ({"connection": {"secretRef": {}}}, "spec.connection.secretRef.name"),
    "an empty image": ({"template": {"image": ""}}, "spec.template.image"),
    "a list for a mapping": ({"template": {"resources": []}}, "spec.template.resources"),
    "a label that is too long": ({"template": {"labels": {"a": "x" * 64}}}, "spec.template.labels"),
    "a label that is a number": ({"template": {"labels": {"a": 1}}}, "spec.template.labels"),
    "a queue that is too long": ({"queue": "q" * 129}, "spec.queue"),
    "an environment without end": ({"template": {"env": [{"name": "A"}] * 501}}, "spec.template.env"),
    "an unknown key": ({"concurency": 2}, 'unknown field "spec.concurency"'),
    "a PodSpec's key that is not in the closed list": (
        {"template": {"hostNetwork": True}},
        'unknown field "spec.template.hostNetwork"',
    ),
}


@pytest.fixture
def namespace() -> str:
    """Nothing is kept of what is only judged, so none has to be made."""
    return "default"


def document(spec: dict[str, Any], name: str = "mail") -> dict[str, Any]:
    return {"apiVersion": "windrow.dev/v1alpha1", "kind": "QueueWorker", "metadata": {"name": name}, "spec": spec}


def judged(api: Api, namespace: str, given: dict[str, Any]) -> dict[str, Any]:
    """The object as the API server would keep it, unknown keys refused as kubectl has it do; raises Refused."""
    path = f"{QUEUEWORKERS}/namespaces/{namespace}/queueworkers?dryRun=All&fieldValidation=Strict"
    return api.post(path, given)


def accepted_by_model(given: dict[str, Any]) -> QueueWorker | None:
    try:
        return QueueWorker.model_validate(copy.deepcopy(given))
    except ValidationError:
        return None


@pytest.mark.parametrize("spec", GOOD.values(), ids=GOOD.keys())
def test_what_both_accept_has_the_same_values(api: Api, namespace: str, crd: None, spec: dict[str, Any]) -> None:
    kept = judged(api, namespace, document(spec))
    by_model = accepted_by_model(document(spec))
    assert by_model is not None
    assert QueueWorker.model_validate(kept).spec == by_model.spec


@pytest.mark.parametrize(("spec", "sentence"), BAD.values(), ids=BAD.keys())
def test_what_both_refuse_is_said_in_the_same_words(
    api: Api, namespace: str, crd: None, spec: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        judged(api, namespace, document(spec))
    assert sentence in str(refused.value)
    assert accepted_by_model(document(spec)) is None


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("shop.mail", "must be lower-case letters, digits and '-', with a letter or digit at both ends"),
        ("m" * 53, "must have at most 52 characters"),
        ("unacked-mail", "must not begin with windrow:, _kombu., unacked"),
    ],
)
def test_a_name_that_no_worker_could_have_is_refused(api: Api, namespace: str, crd: None, name: str, sentence: str) -> None:
    with pytest.raises(Refused, match=sentence.replace(".", r"\.")):
        judged(api, namespace, document({}, name))
    assert accepted_by_model(document({}, name)) is None


def test_a_name_may_begin_like_a_reserved_key_when_the_queue_is_another(api: Api, namespace: str, crd: None) -> None:
    judged(api, namespace, document({"queue": "mail"}, "unacked-mail"))
    assert accepted_by_model(document({"queue": "mail"}, "unacked-mail"))
    judged(api, namespace, document({}, "m" * 52))


def test_a_spec_that_is_left_out_is_all_defaults(api: Api, namespace: str, crd: None) -> None:
    bare = document({})
    del bare["spec"]
    assert QueueWorker.model_validate(judged(api, namespace, bare)).spec == QueueWorker.model_validate(bare).spec


def test_an_explicit_null_is_no_value_to_the_api_server(api: Api, namespace: str, crd: None) -> None:
    """In a file it is refused; the API server takes it for a key that is left out."""
    kept = judged(api, namespace, document({"concurrency": None, "rateLimit": None}))
    assert kept["spec"]["concurrency"] == 2
    assert kept["spec"].get("rateLimit") is None
    assert accepted_by_model(document({"rateLimit": None})) is None


def test_an_applied_null_needs_a_default(api: Api, namespace: str, crd: None) -> None:
    def applied(spec: dict[str, Any]) -> dict[str, Any]:
        path = f"{QUEUEWORKERS}/namespaces/{namespace}/queueworkers/mail"
        return api.patch(path, document(spec), "apply", fieldManager="me", dryRun="All")

    assert applied({"concurrency": None})["spec"]["concurrency"] == 2
    with pytest.raises(Refused, match=r"spec\.rateLimit"):
        applied({"rateLimit": None})


def test_a_client_that_does_not_ask_loses_its_unknown_keys(api: Api, namespace: str, crd: None) -> None:
    path = f"{QUEUEWORKERS}/namespaces/{namespace}/queueworkers?dryRun=All&fieldValidation=Ignore"
    kept = api.post(path, document({"concurency": 8}))
    assert "concurency" not in kept["spec"]


text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
durations = st.one_of(
    st.from_regex(r"\A([0-9]{1,4}h)?([0-9]{1,4}m)?([0-9]{1,6}s)?([0-9]{1,7}ms)?\Z"),
    st.from_regex(r"\A0{0,20}[0-9]{0,20}(h|m|s|ms)\Z"),
    st.sampled_from(
        ["1h", "60m", "59m59s", "168h", "168h1ms", "0s", "1ms", "1m5", "5m1h", "1h ", " 1h", "1H", "-1h", "+1s", "1.5h"]
    ),
    text,
)
counts = st.one_of(
    st.integers(-2, 3), st.integers(40, 60), st.sampled_from([999, 1000, 1001, 9_999, 10_000, 10_001, 2**31, True])
)
_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "queue": st.one_of(
        st.sampled_from(["windrow:", "_kombu.x", "unacked", "mail", "", "q" * 128, "q" * 129]),
        st.from_regex(r"\A[A-Za-z0-9_.:@+-]{1,12}\Z"),
        text,
    ),
    "app": st.one_of(st.from_regex(r"\A[a-zA-Z_0-9]{0,3}(\.[a-z0-9_]{0,3}){0,2}(:[a-z_.]{0,3})?\Z"), text),
    "pool": st.sampled_from(["prefork", "asyncio", "threads", "gevent", "Prefork", ""]),
    "concurrency": counts,
    "acksLate": st.sampled_from([True, False, 0, "true"]),
    "timeLimits": st.fixed_dictionaries({}, optional={"soft": durations, "hard": durations}),
    "rateLimit": st.one_of(st.from_regex(r"\A[0-9]{0,22}/?[smhd]?\Z"), text),
    "maxRecoveries": counts,
    "recycle": st.fixed_dictionaries(
        {}, optional={"tasks": counts, "memory": st.one_of(st.from_regex(r"\A[0-9]{0,21}(Ki|Mi|Gi|k|M|G|B|)\Z"), text)}
    ),
    "replicas": counts,
    "scaling": st.fixed_dictionaries(
        {},
        optional={
            "minReplicas": counts,
            "maxReplicas": counts,
            "waitTarget": durations,
            "scaleDownWindow": durations,
            "fallbackReplicas": counts,
        },
    ),
    "connection": st.sampled_from([{}, {"secretRef": {}}, {"secretRef": {"name": ""}}, {"secretRef": {"name": "own"}}]),
    "template": st.fixed_dictionaries(
        {},
        optional={
            "image": st.one_of(text, st.sampled_from(["x" * 1024, "x" * 1025, "ü" * 1024])),
            "labels": st.dictionaries(text, st.one_of(text, st.sampled_from(["x" * 63, "ü" * 63, "x" * 64])), max_size=2),
            "resources": st.one_of(st.dictionaries(text, st.integers(0, 3), max_size=2), st.just([])),
            "env": st.lists(st.dictionaries(text, text, max_size=2), max_size=2),
            "nodeSelector": st.sampled_from([{}, {"a": "b"}, {"a": 1}, "a"]),
        },
    ),
    "unknown": st.just(1),
}
# A few keys at a time, so that many documents are good.
specs = st.sets(st.sampled_from(sorted(_FIELDS)), max_size=3).flatmap(
    lambda keys: st.fixed_dictionaries({key: _FIELDS[key] for key in sorted(keys)})
)


def answer(api: Api, namespace: str, spec: dict[str, Any]) -> dict[str, Any] | Refused:
    try:
        return judged(api, namespace, document(spec))
    except Refused as no:
        return no


@settings(max_examples=400, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spec=specs)
def test_the_api_server_and_the_model_never_disagree(api: Api, namespace: str, crd: None, spec: dict[str, Any]) -> None:
    by_model, by_server = accepted_by_model(document(spec)), answer(api, namespace, spec)
    if isinstance(by_server, Refused):
        assert by_server.code in (400, 422), by_server
        assert by_model is None, f"the API server alone refuses: {by_server}"
    else:
        assert by_model is not None, f"the model alone refuses {spec}"
        assert QueueWorker.model_validate(by_server).spec == by_model.spec
