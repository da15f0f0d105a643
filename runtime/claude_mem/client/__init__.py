"""The light client: settings, a typed SDK, the coding agent's hooks, and what installs and feeds them.

It needs nothing of the server's packages. The names below are loaded when they are first used, so that the
hook command, which runs at every step of an agent, pays for none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claude_mem.client.errors import ClaudeMemApiError, ClaudeMemError
    from claude_mem.client.routes_ingest import event_body
    from claude_mem.client.sdk import AsyncClient, Client
    from claude_mem.client.settings import Settings, SettingsError, load_settings, select_runtime

__all__ = [
    "AsyncClient",
    "ClaudeMemApiError",
    "ClaudeMemError",
    "Client",
    "Settings",
    "SettingsError",
    "event_body",
    "load_settings",
    "select_runtime",
]

_HOMES = {
    "AsyncClient": "sdk",
    "ClaudeMemApiError": "errors",
    "ClaudeMemError": "errors",
    "Client": "sdk",
    "Settings": "settings",
    "SettingsError": "settings",
    "event_body": "routes_ingest",
    "load_settings": "settings",
    "select_runtime": "settings",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
