"""Writes docs/reference/openapi.json, the API's description of itself."""

from __future__ import annotations

import json
from pathlib import Path

from claude_mem import __version__
from claude_mem.http.app import ROUTES
from claude_mem.http.openapi.document import document

PATH = Path(__file__).parents[1] / "docs" / "reference" / "openapi.json"


def rendered() -> str:
    """The file as it should be."""
    return json.dumps(document(ROUTES, version=__version__), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PATH.write_text(rendered(), encoding="utf-8")
