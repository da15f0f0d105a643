"""Claude Code's configuration files, and the entries of ours in them. Pure: objects in, objects out.

Hooks live under `hooks` of `settings.json`: event name to a list of groups, each with an optional
`matcher` and a list of handlers. An MCP server is one key of `mcpServers`. An entry is ours when its
command runs `claude-mem hook`, or its name is `claude-mem`; nothing else is ever changed or removed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from claude_mem.client.files import MalformedFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

MCP_NAME = "claude-mem"
#: Hook events that are sent, and the matcher each needs; None for events that have no matchers.
HOOK_EVENTS: dict[str, str | None] = {
    "SessionStart": "",
    "UserPromptSubmit": None,
    "PostToolUse": "*",
    "Stop": None,
    "SessionEnd": None,
}
#: Seconds after which Claude Code gives up on a hook; ours ends itself long before.
HOOK_TIMEOUT_SECONDS = 10
#: The key is read from the environment where the file is meant to be shared.
SHARED_KEY = "${CLAUDE_MEM_SERVER_API_KEY}"

_OUR_COMMAND = re.compile(r"(?:^|[/\s'\"])claude-mem['\"]?\s+hook(?:\s|$)")


class Files(NamedTuple):
    """The files of one scope: that of the hooks, and that of the MCP servers."""

    hooks: Path
    mcp: Path


def files(scope: str, *, environ: Mapping[str, str], directory: Path) -> Files:
    """The files of `user` scope, or of `project` scope for the project in `directory`."""
    if scope == "project":
        return Files(directory / ".claude" / "settings.json", directory / ".mcp.json")
    if configured := environ.get("CLAUDE_CONFIG_DIR", "").strip():
        home = Path(configured).expanduser()
        return Files(home / "settings.json", home / ".claude.json")
    return Files(Path.home() / ".claude" / "settings.json", Path.home() / ".claude.json")


def with_hooks(content: Mapping[str, Any], *, command: str) -> dict[str, Any]:
    """`content` with our hooks, each exactly once, in place of any older ones of ours.

    Raises:
        MalformedFileError: `hooks` has not the agent's documented shape.
    """
    cleaned = without_hooks(content)
    hooks = dict(_hooks_of(cleaned))
    for event, matcher in HOOK_EVENTS.items():
        handler = {"type": "command", "command": command, "timeout": HOOK_TIMEOUT_SECONDS}
        group = {"hooks": [handler]} if matcher is None else {"matcher": matcher, "hooks": [handler]}
        hooks[event] = [*hooks.get(event, []), group]
    return {**cleaned, "hooks": hooks}


def without_hooks(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` without our hooks, and without the lists that only they filled.

    Raises:
        MalformedFileError: `hooks` has not the agent's documented shape.
    """
    hooks = {}
    changed = False
    for event, groups in _hooks_of(content).items():
        kept = [remaining for group in groups if (remaining := _without_ours(group)) is not None]
        changed = changed or kept != groups
        if kept or not groups:
            hooks[event] = kept
    if not changed:
        return dict(content)
    cleaned = {**content, "hooks": hooks}
    if not hooks:
        del cleaned["hooks"]
    return cleaned


def _without_ours(group: Any) -> Any:
    """A group without our handlers; None when it held nothing else."""
    handlers = group.get("hooks") if isinstance(group, dict) else None
    if not isinstance(handlers, list):
        return group
    kept = [handler for handler in handlers if not _is_ours(handler)]
    if kept == handlers:
        return group
    return {**group, "hooks": kept} if kept else None


def _is_ours(handler: Any) -> bool:
    command = handler.get("command") if isinstance(handler, dict) else None
    return isinstance(command, str) and bool(_OUR_COMMAND.search(command))


def _hooks_of(content: Mapping[str, Any]) -> dict[str, Any]:
    hooks = content.get("hooks", {})
    if not isinstance(hooks, dict) or not all(isinstance(groups, list) for groups in hooks.values()):
        raise MalformedFileError("'hooks' in the agent's settings is not an object of lists. Fix it first.")
    return hooks


def with_mcp_server(content: Mapping[str, Any], *, url: str, api_key: str) -> dict[str, Any]:
    """`content` with our MCP server; without a key, as for a local-dev server, no header is sent.

    Raises:
        MalformedFileError: `mcpServers` is not an object.
    """
    server: dict[str, Any] = {"type": "http", "url": f"{url}/v1/mcp"}
    if api_key:
        server["headers"] = {"Authorization": f"Bearer {api_key}"}
    return {**content, "mcpServers": {**_mcp_servers_of(content), MCP_NAME: server}}


def without_mcp_server(content: Mapping[str, Any]) -> dict[str, Any]:
    """`content` without our MCP server, and without `mcpServers` when it held nothing else.

    Raises:
        MalformedFileError: `mcpServers` is not an object.
    """
    servers = _mcp_servers_of(content)
    if MCP_NAME not in servers:
        return dict(content)
    kept = {name: server for name, server in servers.items() if name != MCP_NAME}
    cleaned = {**content, "mcpServers": kept}
    if not kept:
        del cleaned["mcpServers"]
    return cleaned


def _mcp_servers_of(content: Mapping[str, Any]) -> dict[str, Any]:
    servers = content.get("mcpServers", {})
    if not isinstance(servers, dict):
        raise MalformedFileError("'mcpServers' in the agent's configuration is not an object. Fix it first.")
    return servers
