"""What the server's commands share: the database that the environment names, its errors, and how results are shown.

These commands work on the database itself, so they need of the environment only what names it: a missing provider or
Redis does not keep anybody from making a key.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.console import ConsoleDimensions
from rich.markup import escape
from rich.table import Table

from claude_mem.cli.output import ExitCode, emit, fail, note
from claude_mem.environment import Mode, QueueEngine, Role, Verdict, check, detect
from claude_mem.environment.catalogue import service
from claude_mem.model.errors import ClaudeMemError, InvalidInput, NotFound, Unavailable
from claude_mem.model.times import iso8601_ms, parse_since
from claude_mem.services.refusals import refusal
from claude_mem.settings import (
    DatabaseSettings,
    PathSettings,
    QueueSettings,
    database_settings,
    queue_settings,
)
from claude_mem.settings.fields import fill
from claude_mem.storage import opening
from claude_mem.storage.database import StorageError
from claude_mem.storage.migrations import MigrationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from rich.console import Console

    from claude_mem.storage.database import Database

T = TypeVar("T")

#: Connections that a command opens at most.
CONNECTIONS = 2

#: Columns that a table may take: a row that is too long wraps, for an id that is cut short is of no use.
WIDEST = 500

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, as on a pipe.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, help="Most rows to print.")]
Offset = Annotated[int, typer.Option("--offset", min=0, help="Rows to leave out first.")]
Team = Annotated[str | None, typer.Option("--team", help="Id of a team.")]
Project = Annotated[str | None, typer.Option("--project", help="Id of a project.")]

_NAMES_THE_DATABASE = frozenset({service.RUNTIME.name, service.DATABASE_URL.name})
_NAMES_THE_QUEUE = frozenset({service.REDIS_URL.name, service.QUEUE_ENGINE.name})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a command works on: the database, and the queue that hears of changes; `verdict` is the rules'."""

    verdict: Verdict
    database: DatabaseSettings
    queue: QueueSettings

    @property
    def is_local(self) -> bool:
        """Whether this is local development, where everything is this user's own."""
        return self.verdict.mode is Mode.LOCAL_DEVELOPMENT


def target() -> Target:
    """The database and the queue that this process's environment names.

    Ends the command with 1 where another runtime is chosen, or no usable database is named.
    """
    verdict = judge(Role.SERVER)
    if verdict.runtime != "server":
        fail(
            f"CLAUDE_MEM_RUNTIME={verdict.runtime} is not the server's runtime, whose keys and jobs these are",
            hint="set CLAUDE_MEM_RUNTIME=server or leave it out",
        )
    for problem in verdict.errors:
        if problem.variable in _NAMES_THE_DATABASE:
            fail(problem.message, hint=problem.remedy)
    # Without a queue a change is a row all the same, which workers find by looking.
    lost = any(problem.variable in _NAMES_THE_QUEUE for problem in verdict.errors)
    queue = QueueSettings(engine=QueueEngine.DISABLED) if lost else queue_settings(os.environ, verdict)
    return Target(verdict=verdict, database=database_settings(os.environ), queue=queue)


def judge(role: Role, *, container: bool | None = None) -> Verdict:
    """The rules' verdict on this process's environment; a `container` of None looks for the signs of one."""
    inside = detect(os.environ).is_container if container is None else container
    return check(os.environ, role=role, container=inside)


def data_dir() -> Path:
    """Where state files, logs and the SQLite file are."""
    return fill(PathSettings, os.environ).data_dir


def run(
    work: Callable[[Database], Awaitable[T]],
    *,
    on: Target | None = None,
    missing: ExitCode = ExitCode.NOT_FOUND,
) -> T:
    """Run `work` on the database, its schema brought up to date as by a server that starts.

    Parameters:
        on: what `target` found, where the command has asked already.
        missing: the exit code for an id that does not exist; claude-mem 13's own commands have 1.
    """
    settings = (on or target()).database

    async def session() -> T:
        await opening.migrate(settings)
        async with opened(settings) as database:
            return await work(database)

    with server_errors(missing=missing):
        return asyncio.run(session())


@asynccontextmanager
async def opened(settings: DatabaseSettings) -> AsyncIterator[Database]:
    """The database, open for one command."""
    database = await opening.open_database(replace(settings, pool_max=CONNECTIONS))
    try:
        yield database
    finally:
        await database.close()


@contextmanager
def server_errors(*, missing: ExitCode = ExitCode.NOT_FOUND) -> Iterator[None]:
    """Turn what the server's packages raise into `fail`."""
    try:
        yield
    except NotFound as error:
        fail(error.message, hint="look for the id with one of the list commands", code=missing)
    except InvalidInput as error:
        fail(error.message, code=ExitCode.USAGE)
    except Unavailable as error:
        fail(error.message, hint=_remedy(error), code=ExitCode.UNAVAILABLE)
    except ClaudeMemError as error:
        fail(error.message)
    except StorageError as error:
        fail(refusal(error).message, hint="try again; claude-mem server doctor looks at everything")
    except MigrationError as error:
        fail(str(error))
    except OSError as error:
        fail(reason(error), hint="correct CLAUDE_MEM_DATA_DIR, or who may write there")


def reason(error: OSError) -> str:
    """An operating system's error in one line, with the file that it is about."""
    words = error.strerror or type(error).__name__
    return f"{error.filename}: {words}" if error.filename else words


def _remedy(error: Unavailable) -> str:
    if error.dependency == "postgres":
        return (
            "see that it runs and that CLAUDE_MEM_SERVER_DATABASE_URL names it; or: claude-mem server doctor"
        )
    return "claude-mem server doctor says more"


def show(result: Any, *, as_json: bool, render: Callable[[Console], None]) -> None:
    """Print records: one JSON document with `--json` and wherever stdout is no terminal, else for people."""
    emit(result, as_json=as_json or not sys.stdout.isatty(), render=render)


def show_rows(
    result: Any, rows: Sequence[Iterable[object]], *, columns: Sequence[str], as_json: bool, nothing: str
) -> None:
    """Print a listing: `result` as JSON, or for people `rows` under `columns`, and `nothing` where there are none."""

    def render(console: Console) -> None:
        if not rows:
            note(nothing)
            return
        table = Table(*columns, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*("" if cell is None else escape(str(cell)) for cell in row))
        console.size = ConsoleDimensions(WIDEST, console.height)
        console.print(table)

    show(result, as_json=as_json, render=render)


def show_lines(result: dict[str, Any], *, as_json: bool) -> None:
    """Print one record: as JSON, or for people a line for each member."""

    def render(console: Console) -> None:
        width = max(map(len, result)) + 2
        for name, value in result.items():
            shown = ", ".join(value) if isinstance(value, list) else value
            console.print(f"{name:<{width}}{'' if shown is None else shown}", markup=False)

    show(result, as_json=as_json, render=render)


def time_or_none(ms: int | None) -> str | None:
    """Milliseconds since the Unix epoch as ISO 8601 in UTC."""
    return None if ms is None else iso8601_ms(ms)


def moment(option: str, given: str | None) -> int | None:
    """The time that an option names, in microseconds since the Unix epoch; None where it is not given.

    Raises: InvalidInput.
    """
    found = None if given is None else parse_since(given)
    if found is None and given is not None:
        raise InvalidInput(f"{option} is not a time such as 2026-01-31 or 2026-01-31T12:00:00Z")
    return found
