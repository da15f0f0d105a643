"""Private text leaves a request here, before anything of it is stored, queued or logged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.errors import InvalidInput, Issue
from claude_mem.privacy import may_contain_private, redact, redact_text

#: Characters of the digest that stands for the private part of an id.
DIGEST_LENGTH = 16

#: Levels of objects and arrays in each other that the serialiser writes.
MAX_DEPTH = 254


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A JSON value without what was private in it.

    Parameters:
        removed: private spans and secrets that were taken out.
    """

    document: Document
    removed: int

    @property
    def is_blank(self) -> bool:
        """Whether no text, number or flag is left anywhere in the value."""
        return _is_blank(self.document.value)


def clean(value: Any) -> Cleaned:
    """Take private spans and secrets out of every text of a JSON value, keys included.

    Raises: InvalidInput when the value is nested deeper than can be stored.
    """
    if value == {}:
        return Cleaned(EMPTY, 0)
    document = _document(value)
    if not may_contain_private(document.text):
        return Cleaned(document, 0)
    redacted = redact(value)
    if not redacted.total:
        return Cleaned(document, 0)
    return Cleaned(_document(redacted.value), redacted.total)


def _document(value: Any) -> Document:
    try:
        return Document.of(value)
    except TypeError as error:
        # What came as JSON has no other reason to be refused by the serialiser.
        message = f"nested too deeply: at most {MAX_DEPTH} levels can be stored"
        raise InvalidInput(message, (Issue("custom", (), message),)) from error


def clean_text(text: str) -> tuple[str, int]:
    """As `clean`, for one text: what is left, and how much was taken out."""
    left, counts = redact_text(text)
    return left, sum(counts.values())


def clean_id(identifier: str | None) -> tuple[str | None, int]:
    """As `clean_text`, for an id: a digest of the whole is put behind what is left, so that ids stay different."""
    if identifier is None:
        return None, 0
    left, removed = clean_text(identifier)
    if not removed:
        return identifier, 0
    digest = hashlib.sha256(identifier.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{left}#{digest[:DIGEST_LENGTH]}", removed


def _is_blank(value: Any) -> bool:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            if item.strip():
                return False
        elif isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
        elif item is not None:
            return False
    return True
