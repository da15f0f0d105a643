"""What a process imports before it serves: each library is paid for at every start, in every pod."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROVIDERS = {"anthropic", "openai", "google.genai"}


@pytest.mark.parametrize(
    ("module", "late"),
    [
        ("claude_mem.process.server", {"mcp", "mcp_types"} | PROVIDERS),
        ("claude_mem.process.worker", {"mcp", "mcp_types", "aiohttp.web"} | PROVIDERS),
    ],
)
def test_what_a_start_has_no_use_for_is_imported_when_it_is_needed(module: str, late: set[str]) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert module in loaded.split()
    assert not late & set(loaded.split())
