"""Redaction of JSON values: every string in them and every key, whatever their depth.

The formats are `formats`' and `secrets`', the tags `tags`'. Here it is decided whether to look at all, and a
clean copy is made.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from claude_mem.privacy.formats import SECRET_SEARCH
from claude_mem.privacy.secrets import PEM_HINT, strip_secrets
from claude_mem.privacy.tags import STRAY_TAG, TAG_HINT, TAG_NAMES, strip_tags

_TAG_KINDS: Final = frozenset({*TAG_NAMES, STRAY_TAG})
_HINT: Final = re.compile(f"{TAG_HINT}|{PEM_HINT}|{SECRET_SEARCH}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Redacted:
    """A value without what was private in it. `value` is the very object that was given when nothing was."""

    value: Any
    counts: dict[str, int] = field(default_factory=dict)
    """Removals by kind: names of tags (`private`, `stray-tag`) and of formats (`github`, `jwt`)."""

    @property
    def private_spans(self) -> int:
        """How many spans between privacy tags were removed, stray tags included."""
        return sum(number for kind, number in self.counts.items() if kind in _TAG_KINDS)

    @property
    def secrets(self) -> int:
        """How many secrets were replaced."""
        return self.total - self.private_spans

    @property
    def total(self) -> int:
        """How many removals of all kinds."""
        return sum(self.counts.values())


def may_contain_private(text: str) -> bool:
    """Whether anything in `text` could be private. False is certain; True means that `redact` has to look.

    `text` is a plain text, or the compact JSON text of a value with characters beyond ASCII unescaped
    (orjson's, or `canonical_json`'s): one question for a whole payload.
    """
    return _HINT.search(text) is not None


def redact_text(text: str) -> tuple[str, dict[str, int]]:
    """`text` without its private spans and with its secrets replaced, and how many there were of each kind.

    Nothing is trimmed. The same object comes back when there was nothing.
    """
    counts: Counter[str] = Counter()
    return _clean(text, counts), dict(counts)


def redact(value: Any, *, text_hint: str | None = None) -> Redacted:
    """`value` without anything private. `value` itself is never changed.

    `value` is any JSON value, nested to any depth. `text_hint` is its JSON text as `may_contain_private`
    wants it, if the caller has that at hand: when it is harmless the value is not looked at.
    """
    if text_hint is not None and not may_contain_private(text_hint):
        return Redacted(value=value)
    counts: Counter[str] = Counter()
    copy = _copy(value, counts)
    return Redacted(value=copy, counts=dict(counts)) if counts else Redacted(value=value)


def _clean(text: str, counts: Counter[str]) -> str:
    if not may_contain_private(text):
        return text
    return strip_secrets(strip_tags(text, counts), counts)


def _copy(value: Any, counts: Counter[str]) -> Any:
    """A clean copy, made with a stack of its own: depth must not meet the interpreter's recursion limit."""
    root: list[Any] = [None]
    pending: list[tuple[Any, Any, Any]] = [(root, 0, value)]
    while pending:
        parent, slot, item = pending.pop()
        if isinstance(item, str):
            parent[slot] = _clean(item, counts)
        elif isinstance(item, dict):
            branch: dict[str, Any] = {}
            parent[slot] = branch
            for key, member in item.items():
                clean_key = _free_key(_clean(key, counts), key, taken=branch, original=item)
                branch[clean_key] = None
                pending.append((branch, clean_key, member))
        elif isinstance(item, list | tuple):
            parent[slot] = [None] * len(item)
            pending.extend((parent[slot], index, member) for index, member in enumerate(item))
        else:
            parent[slot] = item
    return root[0]


def _free_key(clean: str, key: str, *, taken: dict[str, Any], original: dict[str, Any]) -> str:
    """`clean`, or `clean#2` and so on when two keys became the same, for neither's value may be lost."""
    if clean is key or not (clean in taken or clean in original):
        return clean
    number = len(taken) + 1
    while (free := f"{clean}#{number}") in taken or free in original:
        number += 1
    return free
