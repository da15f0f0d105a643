"""What several commands share: their options, the client they use, and how the spool is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from claude_mem.client import settings
from claude_mem.client.spool import Spool

if TYPE_CHECKING:
    from claude_mem.client.sdk import Client

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
ProjectId = Annotated[
    str, typer.Option("--project-id", help="Project to use; default: CLAUDE_MEM_SERVER_PROJECT_ID.")
]
ServerUrl = Annotated[
    str, typer.Option("--server-url", help="Server to use; default: CLAUDE_MEM_SERVER_URL.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="Most results to print.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would happen, and do nothing.")]
Scope = Annotated[
    str, typer.Option("--scope", help="Whose agent files: user, or project for this directory.")
]


def client(server_url: str, project_id: str) -> Client:
    """The SDK's client for the settings, with the flags that were given in their place."""
    from claude_mem.client.sdk import Client  # noqa: PLC0415 - httpx is not for every command

    resolved = settings.load_settings()
    settings.select_runtime(resolved.runtime.value)
    return Client(
        server_url=server_url or resolved.server_url.value,
        api_key=resolved.api_key.value,
        project_id=project_id or resolved.project_id.value,
    )


def spool_report() -> dict[str, Any]:
    """How much waits for delivery."""
    entries = Spool(settings.data_dir()).entries()
    return {
        "entries": len(entries),
        "bytes": sum(entry.size for entry in entries),
        "oldestAgeSeconds": round(entries[0].age_seconds) if entries else None,
    }
