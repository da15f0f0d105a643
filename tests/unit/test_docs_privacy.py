"""docs/how-to/privacy.md names the tags that are taken out, and its example is what comes of it."""

from __future__ import annotations

import re
from pathlib import Path

from claude_mem.privacy import redact_text
from claude_mem.privacy.tags import TAG_NAMES

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "privacy.md").read_text(encoding="utf-8")


def test_every_tag_is_named() -> None:
    assert set(re.findall(r"<([a-z_-]+)>", PAGE.partition("## Secrets")[0])) - {"kind"} == set(TAG_NAMES)


def test_the_example_is_remembered_as_it_says() -> None:
    given = re.search(r"^    (.*<private>.*)$", PAGE, re.MULTILINE)
    left = re.search(r"is remembered as `([^`]+)`", PAGE)
    assert given is not None
    assert left is not None
    assert redact_text(given[1]) == (left[1], {"private": 1})
