"""What is pasted to connect an agent: exactly what each agent takes, through a shell where it is a command."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from claude_mem.http import agents

KEY = "cm_0123456789abcdef"
BEARER = f"Authorization: Bearer {KEY}"
URLS = [
    "https://memory.example.org/v1/mcp",
    "http://[::1]:8080/v1/mcp",
    "https://memory.example.org/team;rm -rf $HOME/it's/v1/mcp?a=1&b=2",
]
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "mcp.md"


def lines(url: str, key: str = KEY) -> dict[str, tuple[str | None, str]]:
    return {line["agent"]: (line["file"], line["paste"]) for line in agents.lines(url, key)}


def words(url: str, agent: str) -> list[str]:
    """What a command is called with."""
    file, paste = lines(url)[agent]
    assert file is None
    return shlex.split(paste)


def content(url: str, agent: str) -> tuple[str | None, Any]:
    file, paste = lines(url)[agent]
    return file, json.loads(paste)


@pytest.mark.parametrize("url", URLS)
def test_commands_are_what_the_agents_take(url: str) -> None:
    add = ["mcp", "add", "--transport", "http", "claude-mem", url, "--header", BEARER]
    assert words(url, "Claude Code") == ["claude", *add]
    assert words(url, "Gemini CLI") == ["gemini", *add]
    variable = "CLAUDE_MEM_SERVER_API_KEY"
    assert words(url, "Codex") == [
        *("export", f"{variable}={KEY};"),
        *("codex", "mcp", "add", "claude-mem", "--url", url, "--bearer-token-env-var", variable),
    ]
    program, option, said = words(url, "VS Code")
    assert (program, option) == ("code", "--add-mcp")
    assert json.loads(said) == {
        "name": "claude-mem",
        "type": "http",
        "url": url,
        "headers": {"Authorization": f"Bearer {KEY}"},
    }
    assert agents.claude_code(url, KEY) == lines(url)["Claude Code"][1]


@pytest.mark.parametrize("url", URLS)
def test_files_are_what_the_agents_read(url: str) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    assert content(url, "Cursor") == (
        "~/.cursor/mcp.json",
        {"mcpServers": {"claude-mem": {"url": url, "headers": headers}}},
    )
    assert content(url, "Windsurf") == (
        "~/.codeium/windsurf/mcp_config.json",
        {"mcpServers": {"claude-mem": {"serverUrl": url, "headers": headers}}},
    )
    assert content(url, "OpenCode") == (
        "~/.config/opencode/opencode.json",
        {"mcp": {"servers": {"claude-mem": {"type": "remote", "url": url, "headers": headers}}}},
    )


def test_every_agent_is_tried_above() -> None:
    assert lines(URLS[0]).keys() == {
        *("Claude Code", "Codex", "Gemini CLI", "VS Code", "Cursor", "Windsurf", "OpenCode")
    }


def test_the_place_of_a_key_is_quoted() -> None:
    """A shell would take `<YOUR_API_KEY>` for a file."""
    for agent, (file, paste) in lines(URLS[0], "<YOUR_API_KEY>").items():
        if file is None:
            # With `punctuation_chars` what a shell takes for an operator is a word of its own.
            found = list(shlex.shlex(paste, posix=True, punctuation_chars=True))
            assert not {"<", ">"} & set(found), agent


def test_the_page_shows_the_same() -> None:
    rows = re.findall(r"^\| ([\w ]+?)(?: \d)? \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    described = dict(rows)
    for agent, (file, paste) in lines("URL", "KEY").items():
        if agent == "Windsurf":
            assert described[agent] == f"`{file}`: as Cursor, with `serverUrl` in place of `url`"
        else:
            assert described[agent].startswith(f"`{file}`: `{paste}`" if file else f"`{paste}`"), agent
