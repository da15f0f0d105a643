"""`claude-mem import local`: what a local claude-mem remembers goes to the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from claude_mem.cli import client_options as options
from claude_mem.cli.output import client_errors, emit, fail
from claude_mem.client import settings

if TYPE_CHECKING:
    from rich.console import Console

    from claude_mem.client.local_database import LocalDatabase

#: The name of the file in the data directory.
FILE = "claude-mem.db"

DatabaseFile = Annotated[
    Path | None,
    typer.Argument(
        dir_okay=False, help="claude-mem.db of a local claude-mem; default: in the data directory."
    ),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="Read this local project only; may be repeated.")
]


def import_local(
    *,
    file: DatabaseFile = None,
    only: Only = None,
    server_url: options.ServerUrl = "",
    project_id: Annotated[
        str, typer.Option("--project-id", help="Takes in everything; without it each project finds its own.")
    ] = "",
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Send what a local claude-mem remembers to the server; doing it again adds nothing."""
    from claude_mem.client import local_import  # noqa: PLC0415 - the SDK's cost belongs to the commands that use it

    database = opened(file, only)
    result: dict[str, Any] = {"dryRun": dry_run}
    if not dry_run:
        with client_errors(), options.client(server_url, project_id) as client:
            done = local_import.send(client, database, project_id=project_id or None)
        result |= {"imported": done.imported, "duplicates": done.duplicates, "refused": done.refused}
    result |= counted(database)
    emit(result, as_json=as_json, render=lambda console: render(console, result))
    if result.get("refused"):
        fail(f"the server refused {len(result['refused'])} lines: {result['refused'][0]}")


def opened(file: Path | None, only: list[str] | None) -> LocalDatabase:
    """The database that is named, looked through once, so that a file of another kind is told first."""
    from claude_mem.client.local_database import LocalDatabase, NotALocalDatabaseError  # noqa: PLC0415

    path = file or settings.data_dir() / FILE
    if not path.is_file():
        fail(f"there is no {path}", hint="name the claude-mem.db of a local claude-mem")
    database = LocalDatabase(path, projects=only or ())
    try:
        for _ in database.groups():
            pass
    except NotALocalDatabaseError as error:
        fail(str(error), hint="name the claude-mem.db of a local claude-mem")
    return database


def counted(database: LocalDatabase) -> dict[str, Any]:
    """What the database has, by project."""
    return {
        "projects": {name: dict(counts) for name, counts in sorted(database.found.counts.items())},
        "skipped": database.found.skipped,
    }


def render(console: Console, result: dict[str, Any]) -> None:
    """Print what was found and what became of it, for people."""
    for name, counts in result["projects"].items():
        told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        console.print(f"{name}: {told}", markup=False)
    for name in ("imported", "duplicates"):
        if name in result:
            told = ", ".join(f"{count} {kind}" for kind, count in result[name].items())
            console.print(f"{name}: {told}", markup=False)
