"""Spans between privacy tags, found by a scanner that is linear in the text, whatever the text."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

TAG_NAMES: Final = (
    "private",
    "claude-mem-context",
    "system_instruction",
    "system-instruction",
    "persisted-output",
    "system-reminder",
)

STRAY_TAG: Final = "stray-tag"
"""The kind under which a closing tag without an opening one is counted."""

_NAMES: Final = "|".join(TAG_NAMES)

# A `<` ends every attempt to read attributes, so attempts never overlap: that is what keeps the scan linear.
_ATTRIBUTES: Final = r"""(?:[^<>=]|=\s*+(?:"[^"<]*+"|'[^'<]*+')?+)*+>"""
_NAME_END: Final = r"(?=[\s/>]|\Z)"
# Some writers of JSON and of scripts put a backslash before the slash.
_SLASH: Final = r"\\{0,4}/"
_TAG: Final = re.compile(
    rf"<(?P<open>(?ai:{_NAMES})){_NAME_END}(?:{_ATTRIBUTES})?+"
    rf"|<{_SLASH}(?P<close>(?ai:{_NAMES})){_NAME_END}(?:[^<>]*+>)?+"
)

TAG_HINT: Final = rf'<(?=\\{{0,8}}/?(?ai:{_NAMES})(?:[\s/>"\\]|\Z))'
"""Matches wherever a tag begins, in text or JSON text, where a quote or backslash may follow the name."""

# Taking a span out can join its surroundings to a new tag. Nobody writes that by accident more than a few
# levels deep.
_MAX_PASSES: Final = 4


def strip_tags(text: str, counts: Counter[str]) -> str:
    """`text` without private spans and their tags; each span is added to `counts` under the name of its tag.

    Spans nest, also under different names, and end where the last of the tags that opened has closed. One
    that is not closed ends with the text.
    """
    for _ in range(_MAX_PASSES):
        stripped = _strip_once(text, counts)
        if stripped is text:
            return text
        text = stripped
    leftover = _TAG.search(text)
    return text if leftover is None else text[: leftover.start()]


def _strip_once(text: str, counts: Counter[str]) -> str:
    kept: list[str] = []
    position = 0
    opened: Counter[str] = Counter()
    depth = 0
    for tag in _TAG.finditer(text):
        name = (tag["open"] or tag["close"]).lower()
        if depth == 0:
            kept.append(text[position : tag.start()])
            counts[name if tag["open"] else STRAY_TAG] += 1
        if tag["close"]:
            if opened[name]:
                opened[name] -= 1
                depth -= 1
        elif not tag[0].endswith("/>"):
            opened[name] += 1
            depth += 1
        if depth == 0:
            position = tag.end()
    if not kept:
        return text
    if depth == 0:
        kept.append(text[position:])
    return "".join(kept)
