"""Parts of a ClaudeMemServer that the documents show are read as they stand, within the shortest resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from claude_mem_operator.api import ClaudeMemServer, InvalidResource
from tests.support.claude_mem_servers import merge, resource

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def parts() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every document of a YAML block that is a `spec` and nothing else, with its page."""
    for page in PAGES:
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S):
            for document in yaml.safe_load_all(block):
                if isinstance(document, dict) and set(document) == {"spec"}:
                    yield str(page.relative_to(ROOT)), document["spec"]


@pytest.mark.parametrize(("page", "spec"), list(parts()))
def test_a_part_of_a_resource_is_read(page: str, spec: dict[str, Any]) -> None:
    whole = resource()
    merge(whole["spec"], spec)
    try:
        ClaudeMemServer.parse(whole)
    except InvalidResource as error:
        pytest.fail(f"{page}: {error}")


def test_there_are_some() -> None:
    assert {"docs/how-to/production.md", "docs/how-to/monitoring.md"} <= {page for page, _ in parts()}
