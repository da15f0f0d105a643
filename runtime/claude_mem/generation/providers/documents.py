"""Reading what a server sent, whatever its shape: what is missing, or of another kind, is not there."""

from __future__ import annotations

import json
from typing import Any


def read_document(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, or None."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def count(value: object) -> int:
    """A number of tokens from a document; anything else counts as none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def member(document: object, *path: str | int) -> Any:
    """The value at a path of keys and indexes, None where the document has no such place."""
    for step in path:
        if isinstance(step, str) and isinstance(document, dict):
            document = document.get(step)
        elif isinstance(step, int) and isinstance(document, list) and len(document) > step:
            document = document[step]
        else:
            return None
    return document
