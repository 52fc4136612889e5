"""The Lua scripts, each one atomic step. docs/keys-and-events.md says what each does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import redis


@dataclass(frozen=True)
class Script:
    """A script's text and its hash."""

    text: str
    sha: str

    def __call__(self, client: redis.Redis, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Run it, sending the text when the server does not know it."""
        try:
            return client.execute_command("EVALSHA", self.sha, len(keys), *keys, *args)
        except redis.exceptions.NoScriptError:
            return client.execute_command("EVAL", self.text, len(keys), *keys, *args)


_INCLUDE = re.compile(r"^--#include (\w+)\n", re.MULTILINE)


def _text(name: str) -> str:
    return files(__name__).joinpath(f"{name}.lua").read_text(encoding="utf-8")


@cache
def load(name: str) -> Script:
    """The script `name`.lua of this folder."""
    text = _INCLUDE.sub(lambda found: _text(found[1]), _text(name))
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
