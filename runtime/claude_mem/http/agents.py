"""One line for each popular agent that connects it to this server's MCP: a command, or what goes into a file.

The forms are the agents' own:
https://code.claude.com/docs/en/mcp, https://developers.openai.com/codex/mcp, https://geminicli.com/docs/tools/mcp-server/,
https://code.visualstudio.com/docs/copilot/customization/mcp-servers, https://cursor.com/docs/context/mcp,
https://docs.windsurf.com/windsurf/cascade/mcp, https://opencode.ai/docs/mcp-servers.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claude_mem.http.responses.figures import AgentLine

NAME = "claude-mem"

#: Where an agent that reads its key from the environment finds it.
KEY_VARIABLE = "CLAUDE_MEM_SERVER_API_KEY"


def claude_code(url: str, key: str) -> str:
    """The command for Claude Code, as claude-mem 13 gives it; an address that a shell would take apart is quoted."""
    return f'claude mcp add --transport http {NAME} {shlex.quote(url)} --header "Authorization: Bearer {key}"'


def lines(url: str, key: str) -> list[AgentLine]:
    """What to paste, by agent."""
    headers = {"Authorization": f"Bearer {key}"}
    return [
        _command("Claude Code", claude_code(url, key)),
        _command(
            "Codex",
            f"export {KEY_VARIABLE}={shlex.quote(key)}; "
            f"codex mcp add {NAME} --url {shlex.quote(url)} --bearer-token-env-var {KEY_VARIABLE}",
        ),
        _command(
            "Gemini CLI",
            f"gemini mcp add --transport http {NAME} {shlex.quote(url)} "
            f'--header "Authorization: Bearer {key}"',
        ),
        _command(
            "VS Code",
            "code --add-mcp "
            + shlex.quote(_json({"name": NAME, "type": "http", "url": url, "headers": headers})),
        ),
        _file("Cursor", "~/.cursor/mcp.json", {"mcpServers": {NAME: {"url": url, "headers": headers}}}),
        _file(
            "Windsurf",
            "~/.codeium/windsurf/mcp_config.json",
            {"mcpServers": {NAME: {"serverUrl": url, "headers": headers}}},
        ),
        _file(
            "OpenCode",
            "~/.config/opencode/opencode.json",
            {"mcp": {"servers": {NAME: {"type": "remote", "url": url, "headers": headers}}}},
        ),
    ]


def _command(agent: str, command: str) -> AgentLine:
    return {"agent": agent, "file": None, "paste": command}


def _file(agent: str, path: str, content: dict[str, Any]) -> AgentLine:
    return {"agent": agent, "file": path, "paste": _json(content)}


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)
