"""docs/keys-and-events.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from windrow.broker import events
from windrow.broker.keys import Keys

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/keys-and-events.md").read_text(encoding="utf-8")
SCRIPTS = ROOT / "services/windrow/broker/scripts"


def test_every_key_is_on_the_page() -> None:
    """A key that the code has and the page has not would be a secret; the reverse, a lie."""
    keys = Keys()
    simple = {getattr(keys, name) for name, member in vars(Keys).items() if isinstance(member, property)}
    made = {
        keys.inflight("<worker>"),
        keys.started("<worker>"),
        keys.delayed("<queue>"),
        keys.delayed_messages("<queue>"),
        keys.queue("<queue>"),
        keys.rate("<queue>"),
        keys.idle("<queue>"),
        keys.listener("<queue>"),
        keys.sent("<owner>"),
        keys.quarantine("<queue>"),
        keys.clearing("<queue>"),
    }
    written = set(re.findall(r"^\| `(windrow:[^`]+)`", PAGE, re.MULTILINE))
    assert written == simple | made


def test_every_script_is_on_the_page() -> None:
    """Each script has its row."""
    written = set(
        re.findall(r"^\| `(\w+)` \| [^|]+\|$", PAGE.split("## Scripts")[1].split("## The message header")[0], re.MULTILINE)
    )
    assert written == {path.stem for path in SCRIPTS.glob("*.lua")}


def test_every_kind_of_event_is_on_the_page() -> None:
    """Each kind of event has its section."""
    written = re.findall(r"^### `(\w+)`", PAGE, re.MULTILINE)
    assert sorted(written) == sorted(events.KINDS)


def test_every_operation_of_sync_is_told_in_its_head() -> None:
    """The letters that the script takes are the letters that its head explains."""
    text = (SCRIPTS / "sync.lua").read_text(encoding="utf-8")
    told = set(re.findall(r"^--       ([A-Z]) ", text, re.MULTILINE))
    assert told == set(re.findall(r"op == '([A-Z])'", text))
