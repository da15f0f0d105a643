"""`claude-mem server bootstrap`: the first team, project and key, with a key whose value somebody else chose.

For what installs the server: it may run at every start, and in several places at once. The key's value comes from a file,
so that it is on no command line, and is never printed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path  # noqa: TC003 - typer reads the annotation
from typing import TYPE_CHECKING, Annotated

import typer

from claude_mem.cli.output import ExitCode, fail
from claude_mem.cli.server_context import AsJson, opened, reason, server_errors, show_lines, target
from claude_mem.cli.server_keys import Scopes, split_scopes
from claude_mem.cli.server_tenancy import checked_name
from claude_mem.model.errors import InvalidInput
from claude_mem.model.scopes import READ, WRITE
from claude_mem.services.provisioning import LONGEST_KEY, Provisioned, Wanted, check_key, provision
from claude_mem.storage import opening

if TYPE_CHECKING:
    from claude_mem.settings import DatabaseSettings

KEY_NAME = "bootstrap"

#: Characters of a key's file that are read: a longer one is not a key.
_FILE_LIMIT = LONGEST_KEY + 16
_MAKE_ONE = "make one, for example with: printf 'cmem_%s' \"$(openssl rand -hex 24)\""


def bootstrap(
    *,
    team: Annotated[str, typer.Option("--team", metavar="NAME", help="Name of the team.")],
    project: Annotated[str, typer.Option("--project", metavar="NAME", help="Name of its project.")],
    api_key_file: Annotated[
        Path, typer.Option("--api-key-file", metavar="PATH", help="File that holds the key's value.")
    ],
    name: Annotated[
        str, typer.Option("--name", help="What the key is called; it replaces its project's earlier one.")
    ] = KEY_NAME,
    scope: Scopes = None,
    as_json: AsJson = False,
) -> None:
    """Make a team, a project and a key of a given value, where they are missing; reading and writing by default.

    Once more it changes nothing. With another value in the file it makes that key and revokes the earlier one. The
    schema must be current: see `claude-mem server migrate`.
    """
    wanted = Wanted(
        team=checked_name(team),
        project=checked_name(project),
        raw_key=_read_key(api_key_file),
        scopes=split_scopes(scope) or [READ, WRITE],
        key_name=checked_name(name),
    )
    settings = target().database
    with server_errors():
        done = asyncio.run(_provision(settings, wanted))
    show_lines(_shown(done), as_json=as_json)


async def _provision(settings: DatabaseSettings, wanted: Wanted) -> Provisioned:
    state = await opening.check(settings)
    if not state.current:
        newer = state.version is not None and state.version > state.latest
        missing = "has no schema yet" if state.version is None else "has a schema of another release"
        fail(
            f"the database {missing}: version {state.version or 'none'}, and this release has {state.latest}",
            hint="run the newer release" if newer else "claude-mem server migrate",
        )
    async with opened(settings) as database:
        return await provision(database, wanted)


def _read_key(path: Path) -> str:
    """The key that a file holds, without the line's end."""
    try:
        with path.open(encoding="ascii") as file:
            return check_key(file.read(_FILE_LIMIT).strip())
    except OSError as error:
        fail(reason(error), hint="name a file that holds the key with --api-key-file", code=ExitCode.USAGE)
    except UnicodeDecodeError:
        fail(f"{path} holds no API key: it is not ASCII text", code=ExitCode.USAGE)
    except InvalidInput as error:
        fail(f"{path} holds no API key: {error.message}", hint=_MAKE_ONE, code=ExitCode.USAGE)


def _shown(done: Provisioned) -> dict[str, object]:
    return {
        "teamId": done.team.id,
        "projectId": done.project.id,
        "keyId": done.key.id,
        "name": done.key.name,
        "scopes": list(done.key.scopes),
        "created": list(done.created),
        "revoked": list(done.revoked),
    }
