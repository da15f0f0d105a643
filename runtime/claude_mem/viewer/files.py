"""The viewer's files, read once, and the policy that browsers hold the page to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The page itself.
PAGE = "index.html"

#: What is served, by the end of its name; nothing else is.
MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

#: Everything comes from this server, nothing stands inline, no text is ever parsed as markup, and nobody may frame it.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)


@dataclass(frozen=True, slots=True)
class ViewerFile:
    """A file as it is served.

    Parameters:
        digest: of the content, by which a browser knows whether its copy is still the one.
    """

    content: bytes
    media_type: str
    digest: str
    charset: str = "utf-8"


@cache
def viewer_files() -> Mapping[str, ViewerFile]:
    """All files by name; none where the package was installed without them."""
    folder = files(__package__) / "static"
    if not folder.is_dir():
        return {}
    return {
        entry.name: _read(entry.read_bytes(), MEDIA_TYPES[suffix])
        for entry in folder.iterdir()
        if (suffix := PurePosixPath(entry.name).suffix) in MEDIA_TYPES
    }


def _read(content: bytes, media_type: str) -> ViewerFile:
    return ViewerFile(content, media_type, hashlib.sha256(content).hexdigest()[:32])
