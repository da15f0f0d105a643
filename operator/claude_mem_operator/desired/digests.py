"""Short names of contents: what a child's name or an annotation holds in place of the content itself."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

_LENGTH: Final = 16


def value_digest(value: str | bytes) -> str:
    """The digest of a value of a Secret or a ConfigMap: 64 hexadecimal digits of SHA-256."""
    return hashlib.sha256(value.encode() if isinstance(value, str) else value).hexdigest()


def content_digest(content: Any, *, length: int = _LENGTH) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
