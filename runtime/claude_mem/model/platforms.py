"""The one spelling of a client's platform, by which sessions are told apart and searches filtered."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from claude_mem.model.canonical import JS_WHITESPACE, js_trim

DEFAULT_PLATFORM: Final = "claude"

_WHITESPACE: Final = re.compile(f"[{JS_WHITESPACE}]+")
_KNOWN: Final = ("codex", "cursor", "claude")


def normalise_platform(value: str | None) -> str | None:
    """The stored form of `platformSource`: trimmed, lower case, white space as `-`, known families folded.

    None stays None: no platform was named. An empty or blank name is the default platform.
    """
    return None if value is None else _normalise(value)


@lru_cache(maxsize=256)
def _normalise(value: str) -> str:
    name = _WHITESPACE.sub("-", js_trim(value).lower())
    if not name:
        return DEFAULT_PLATFORM
    if name == "transcript":
        return "codex"
    return next((family for family in _KNOWN if family in name), name)
