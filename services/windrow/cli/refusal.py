"""Errors that are the user's to correct, as one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def refusing(*kinds: type[Exception]) -> Iterator[None]:
    """End the command with the sentence of an error of these kinds, exit code 2."""
    try:
        yield
    except kinds as error:
        raise click.ClickException(one_line(error)) from error


def one_line(error: Exception) -> str:
    """An error's text on one line; its kind when it has none."""
    return " ".join(str(error).split()) or type(error).__name__
