"""`claude-mem server export` and `import`: what is remembered goes to a file, and comes back from one."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import orjson
import typer

from claude_mem.cli import local_import
from claude_mem.cli.output import emit, fail, note
from claude_mem.cli.server_context import AsJson, Project, Team, run, show_lines
from claude_mem.cli.server_usage import scope_of
from claude_mem.client.local_database import HEADER
from claude_mem.client.local_import import encoded
from claude_mem.http.moving import report
from claude_mem.model.documents import EMPTY
from claude_mem.model.errors import InvalidInput
from claude_mem.model.times import now_us
from claude_mem.services.bootstrap import cli_entry, require_project, require_team
from claude_mem.services.transfer_export import Exporter
from claude_mem.services.transfer_format import check_header
from claude_mem.services.transfer_import import Destination, Importer
from claude_mem.services.transfer_lines import BadLine, read
from claude_mem.storage import audit, tenancy
from claude_mem.storage.database import run_transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from claude_mem.client.local_database import LocalDatabase
    from claude_mem.model.records import AuditEntry
    from claude_mem.services.transfer_format import HeaderLine
    from claude_mem.services.transfer_import import Imported
    from claude_mem.storage.database import Database, Executor

#: Bytes that are read of a file at a time, and of its first line at most.
_CHUNK = 1 << 16

_STDIN = Path("-")


@dataclass(frozen=True, slots=True)
class Begun:
    """An export's file as it was left.

    Parameters:
        keep: bytes up to the end of its last checkpoint line.
        whole: it has an end line, so there is nothing left to do.
    """

    cursor: str
    keep: int
    whole: bool


def export(
    *,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; standard output without it.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a file that an earlier export left.")
    ] = False,
    team: Team = None,
    project: Project = None,
) -> None:
    """Write all that is remembered of a team, or of one project, as JSON lines; no keys, jobs or audit."""
    begun = _begun(output) if resume and output is not None else None
    if begun is not None and begun.whole:
        note(f"{output} is whole already")
        return

    async def work(database: Database) -> None:
        team_id = await scope_of(database, team=team, project=project)
        action = "team.exported" if project is None else "project.exported"
        entry = cli_entry(action, project or team_id, team_id=team_id, project_id=project)
        exporter = Exporter(database, team_id, project)
        pages = await exporter.begin(entry, cursor=begun.cursor if begun else None)
        with ExitStack() as stack:
            file = sys.stdout.buffer if output is None else stack.enter_context(_opened(output, begun))
            async for page in pages:
                file.write(page)

    run(work)
    if output is not None:
        note(f"exported to {output}")


def _opened(path: Path, begun: Begun | None) -> IO[bytes]:
    """The file to write to, which nobody else may read."""
    if begun is None:
        try:
            return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except FileExistsError:
            fail(f"{path} is there already", hint="go on with it by --resume, or name another file")
    file = path.open("r+b")
    file.truncate(begun.keep)
    file.seek(begun.keep)
    return file


def _begun(path: Path) -> Begun | None:
    """How far an export's file is; None where there is none, or nothing of use in it."""
    if not path.exists():
        return None
    found, position, whole = None, 0, False
    with path.open("rb") as file:
        for line in file:
            position += len(line)
            if line.startswith(b'{"type":"checkpoint"') and line.endswith(b"}\n"):
                found = (orjson.loads(line)["cursor"], position)
            whole = line.startswith(b'{"type":"end"') and line.endswith(b"}\n")
    if found is None:
        fail(f"{path} has no checkpoint of an export in it", hint="name another file, without --resume")
    return Begun(*found, whole)


def import_file(
    *,
    file: Annotated[Path, typer.Argument(help="An export; - is standard input.")],
    team: Team = None,
    project: Project = None,
    strict: Annotated[bool, typer.Option("--strict", help="Take in all lines or none.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would become of it, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take in an export, into its own team, or into the one that is named; doing it again adds nothing."""

    async def work(database: Database) -> Imported:
        with ExitStack() as stack:
            opened = sys.stdin.buffer if file == _STDIN else stack.enter_context(file.open("rb"))
            first = await asyncio.to_thread(opened.readline, _CHUNK)
            team_id = await _destination(database, first, team=team, project=project, dry_run=dry_run)
            destination = Destination(team_id, project, _entry_of(team_id))
            importer = Importer(database, destination, strict=strict, dry_run=dry_run)
            return await importer.run(_chunks(first, opened))

    show_report(run(work), dry_run=dry_run, as_json=as_json)


def import_local(
    *,
    file: local_import.DatabaseFile = None,
    only: local_import.Only = None,
    team: Team = None,
    project: Project = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is, and change nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take in what a local claude-mem remembers, into a team, or into one project; doing it again adds nothing."""
    database = local_import.opened(file, only)
    if dry_run:
        found = {"dryRun": True} | local_import.counted(database)
        emit(found, as_json=as_json, render=lambda console: local_import.render(console, found))
        return

    async def work(opened: Database) -> Imported:
        team_id = await scope_of(opened, team=team, project=project)
        importer = Importer(opened, Destination(team_id, project, _entry_of(team_id)))
        return await importer.run(_records(database))

    show_report(run(work), dry_run=False, as_json=as_json)


async def _records(database: LocalDatabase) -> AsyncIterator[bytes]:
    yield encoded([HEADER])
    for group in database.groups():
        yield encoded(group)


def _entry_of(team_id: str) -> Callable[[str, str, dict[str, object]], AuditEntry]:
    def entry(action: str, project_id: str, details: dict[str, object]) -> AuditEntry:
        return cli_entry(action, project_id, team_id=team_id, project_id=project_id, **details)

    return entry


async def _chunks(first: bytes, rest: IO[bytes]) -> AsyncIterator[bytes]:
    yield first
    while chunk := await asyncio.to_thread(rest.read, _CHUNK):
        yield chunk


async def _destination(
    database: Database, first: bytes, *, team: str | None, project: str | None, dry_run: bool
) -> str:
    """The team that is named, or the project's, or the export's own, which is made where it is missing."""
    if project is not None:
        return (await require_project(database, project, team_id=team)).team_id
    if team is not None:
        return (await require_team(database, team)).id
    try:
        header = check_header(read(first))
    except BadLine as error:
        raise InvalidInput(f"line 1 is not the header of an export: {error}") from error
    if header.team_id is None:
        raise InvalidInput("the export names no team: name one with --team or --project")
    if await tenancy.find_team(database, header.team_id) is None:
        if dry_run:
            raise InvalidInput(
                f"the export's team {header.team_id!r} is not here, and a dry run does not make it: "
                "try with --team or --project"
            )
        await _make_team(database, header, header.team_id)
    return header.team_id


async def _make_team(database: Database, header: HeaderLine, team_id: str) -> None:
    async def store(transaction: Executor) -> None:
        now, name = now_us(), header.team_name or team_id
        await tenancy.add_team(transaction, team_id=team_id, name=name, metadata=EMPTY, now_us=now)
        entry = cli_entry("team.create", team_id, team_id=team_id, project_id=None, name=name)
        await audit.append(transaction, [entry], now_us=now)

    await run_transaction(database, store)


def show_report(imported: Imported, *, dry_run: bool, as_json: bool) -> None:
    """Print what became of an import; bad lines are told, and end the command with 1."""
    told: dict[str, Any] = dict(report(imported, dry_run=dry_run))
    shown = told if as_json or not sys.stdout.isatty() else _flat(told)
    show_lines(shown, as_json=as_json)
    for one in imported.refused:
        note(f"line {one.number}: {one.message}")
    if imported.bad_lines:
        fail(
            f"{imported.bad_lines} lines were not taken in",
            hint="mend them and import again; what is there already is left as it is",
        )


def _flat(told: dict[str, Any]) -> dict[str, Any]:
    """The same for people, without members in members."""
    counts = {
        name: ", ".join(f"{count} {kind}" for kind, count in told[name].items())
        for name in ("imported", "duplicates")
    }
    return {name: counts.get(name, value) for name, value in told.items() if name != "refused"}
