"""How an operator process is set up, and what it says when that can't work."""

from __future__ import annotations

import pytest

from windrow_operator.config import Config

ENV = {"WINDROW_OPERATOR_NAMESPACE": "windrow", "REDIS_URL": "redis://:hush@redis/0"}


def test_everything_comes_from_the_environment() -> None:
    """Each field has its variable."""
    config = Config.from_env(
        {
            **ENV,
            "WINDROW_WATCH_NAMESPACES": "shop, mail",
            "WINDROW_WORKER_IMAGE": "registry/shop:3",
            "WINDROW_WORKER_SECRET": "platform",
            "WINDROW_WORKER_CA_SECRET": "authority",
            "WINDROW_POD_MONITORS": "true",
            "WINDROW_POD_MONITOR_LABELS": "release=prometheus,team=",
            "WINDROW_INSTALLATION": "ns/shop",
            "WINDROW_KEY_PREFIX": "shop:",
            "WINDROW_LOG_FORMAT": "json",
            "POD_NAME": "operator-7",
        }
    )
    assert config.watched == ("shop", "mail")
    assert (config.platform.image, config.platform.secret) == ("registry/shop:3", "platform")
    assert config.platform.ca_secret == "authority"
    assert (config.platform.pod_monitors, config.platform.key_prefix) == (True, "shop:")
    assert config.platform.monitor_labels == {"release": "prometheus", "team": ""}
    assert config.platform.installation == "ns/shop"
    assert (config.log_format, config.platform.log_format) == ("json", "json")
    assert config.identity.startswith("operator-7_")


def test_no_namespaces_are_all_namespaces_and_flags_win() -> None:
    """`-n` and `-A` stand in for the environment."""
    assert Config.from_env(ENV).watched == ()
    assert Config.from_env({**ENV, "WINDROW_WATCH_NAMESPACES": "shop"}, watched=("mail",)).watched == ("mail",)


def test_a_url_is_never_shown() -> None:
    """It may carry a password."""
    assert "hush" not in repr(Config.from_env(ENV))


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ({}, "WINDROW_OPERATOR_NAMESPACE must say in which namespace the operator's Lease is, e.g. windrow"),
        (
            {**ENV, "WINDROW_WATCH_NAMESPACES": "Shop"},
            "WINDROW_WATCH_NAMESPACES must be names of namespaces (lower-case letters, digits and '-'), not 'Shop'",
        ),
        ({**ENV, "WINDROW_POD_MONITORS": "yes"}, "WINDROW_POD_MONITORS must be 'true' or 'false', not 'yes'"),
        (
            {**ENV, "WINDROW_POD_MONITOR_LABELS": "release:prometheus"},
            "WINDROW_POD_MONITOR_LABELS must be labels as name=value with commas between, not 'release:prometheus'",
        ),
    ],
)
def test_what_cannot_work_gets_one_sentence(env: dict[str, str], sentence: str) -> None:
    """Nothing is started."""
    with pytest.raises(ValueError, match="must") as caught:
        Config.from_env(env)
    assert str(caught.value) == sentence
