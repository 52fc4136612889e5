"""What of a call may be shown on record."""

from __future__ import annotations

from celery import Celery

from windrow import install


def options_of(redact: object, *args: object, **kwargs: object) -> dict:
    app = install(Celery("redaction", set_as_current=False), "redis://127.0.0.1:1/0")
    sent: dict = {}

    @app.task(redact=redact)
    def login(user, password, remember=False): ...

    app.send_task = lambda name, args, kwargs, **options: sent.update(options)
    login.apply_async(args, kwargs)
    return sent


def test_named_arguments_are_hidden_by_place_and_by_name() -> None:
    """A hidden argument shows `***` however it is given; the others show as they are."""
    assert options_of(("password",), "ann", "secret")["argsrepr"] == "('ann', ***)"
    assert options_of("password", "ann", password="secret")["kwargsrepr"] == "{'password': ***}"


def test_all_arguments_can_be_hidden() -> None:
    """`redact=True` shows nothing of the arguments."""
    sent = options_of(True, "ann", "secret")
    assert (sent["argsrepr"], sent["kwargsrepr"]) == ("***", "***")


def test_the_message_of_a_redacted_task_is_not_kept() -> None:
    """The message holds the arguments as they are: it must not go on record."""
    assert options_of(("password",), "ann", "secret")["headers"] == {"windrow_keep": False}
    assert "windrow_keep" not in (options_of((), "ann", "secret").get("headers") or {})
