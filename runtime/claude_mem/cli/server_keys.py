"""`claude-mem server api-key …` and `keys …`: keys made, listed and ended by whoever may reach the database.

A raw key is printed once, by the command that makes it, and kept nowhere but in the caller's hands; `keys rotate` puts
it straight into the client's settings file. Every change is a line in the audit log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from claude_mem.cli.output import ExitCode, client_errors, fail, note
from claude_mem.cli.server_context import (
    AsJson,
    Limit,
    Offset,
    Project,
    Team,
    run,
    show_lines,
    show_rows,
    time_or_none,
)
from claude_mem.client import settings as client_settings
from claude_mem.client.files import read_json_object
from claude_mem.model.errors import Conflict, NotFound
from claude_mem.model.identity import hash_api_key
from claude_mem.model.scopes import READ, WRITE
from claude_mem.model.times import now_us
from claude_mem.services.bootstrap import CLI_ACTOR, cli_entry, create_first_key
from claude_mem.services.keys import NewKey, check_scopes, rotate_key
from claude_mem.storage import audit, keys, rows
from claude_mem.storage.database import Database, Executor, run_transaction

if TYPE_CHECKING:
    from claude_mem.model.records import ApiKey

DEFAULT_NAME = "server-api-key"
DAY_US = 86_400_000_000
MOST_DAYS = 3650
MOST_OVERLAP_S = 30 * 86_400

KeyId = Annotated[str, typer.Argument(metavar="ID", help="Id of the key, as `api-key list` prints it.")]
Scopes = Annotated[
    list[str] | None,
    typer.Option("--scope", "--scopes", metavar="A,B", help="What the key may do, parted by commas."),
]
Active = Annotated[bool, typer.Option("--active", help="Leave out keys that are revoked or expired.")]


def create(
    *,
    name: Annotated[str, typer.Option("--name", help="What the key is called in listings.")] = DEFAULT_NAME,
    scope: Scopes = None,
    team: Team = None,
    project: Project = None,
    expires_in_days: Annotated[
        int | None, typer.Option("--expires-in-days", min=1, max=MOST_DAYS, help="Days until it ends.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once.

    A team alone gives a key for all of its projects. Without team and project the local ones are taken, and
    made where they are missing.
    """

    async def work(database: Database) -> NewKey:
        return await create_first_key(
            database,
            name=name,
            scopes=split_scopes(scope) or [READ],
            team_id=team,
            project_id=project,
            expires_us=None if expires_in_days is None else now_us() + expires_in_days * DAY_US,
        )

    show_lines(_shown_once(run(work)), as_json=as_json)


def list_keys(
    *,
    team: Team = None,
    limit: Limit = 100,
    offset: Offset = 0,
    active: Active = False,
    as_json: AsJson = False,
) -> None:
    """List keys, newest first; never a raw key."""
    now = now_us()

    async def work(database: Database) -> list[ApiKey]:
        found = await keys.list_rows(
            database,
            team_id=team,
            project_id=None,
            active=active,
            before=None,
            limit=limit,
            offset=offset,
            now_us=now,
        )
        return [rows.api_key(row) for row in found]

    listed = [_entry(key, now) for key in run(work)]
    columns = ("id", "name", "prefix", "status", "scopes", "expiresAt")
    show_rows(
        {"teamId": team, "limit": limit, "offset": offset, "count": len(listed), "keys": listed},
        [[_cell(entry[column]) for column in columns] for entry in listed],
        columns=columns,
        as_json=as_json,
        nothing="no keys; make one with: claude-mem server api-key create",
    )


def revoke(*, key_id: KeyId, as_json: AsJson = False) -> None:
    """End a key; the very next request with it is refused."""

    async def change(transaction: Executor) -> ApiKey:
        now = now_us()
        key = await keys.revoke(transaction, key_id, now_us=now)
        if key is None:
            await _find(transaction, key_id)
            raise Conflict(f"API key {key_id} is already revoked")
        entry = cli_entry("api_key.revoke", key.id, team_id=key.team_id, project_id=key.project_id)
        await audit.append(transaction, [entry], now_us=now)
        return key

    key = run(lambda database: run_transaction(database, change), missing=ExitCode.FAILURE)
    show_lines({"id": key.id, "status": "revoked"}, as_json=as_json)


def rotate(
    *,
    key_id: KeyId,
    overlap_seconds: Annotated[
        int, typer.Option(min=0, max=MOST_OVERLAP_S, help="Seconds for which the old key still works.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Put a new key of the same name, scopes and lifetime in the place of another, and print it, once."""

    async def work(database: Database) -> NewKey:
        return await _rotate(database, await _find(database, key_id), overlap_s=overlap_seconds)

    show_lines(_shown_once(run(work)) | {"replaces": key_id}, as_json=as_json)


def migrate_scopes(*, key_id: KeyId, scope: Scopes = None, as_json: AsJson = False) -> None:
    """Give a key other scopes: reading and writing, unless others are named."""

    async def change(transaction: Executor) -> ApiKey:
        now = now_us()
        chosen = check_scopes(split_scopes(scope) or [READ, WRITE])
        before = await _find(transaction, key_id)
        key = await keys.set_scopes(transaction, key_id, scopes=chosen, now_us=now)
        if key is None:
            raise Conflict(f"API key {key_id} is revoked and keeps its scopes")
        entry = cli_entry(
            "api_key.migrate_scopes",
            key.id,
            team_id=key.team_id,
            project_id=key.project_id,
            previousScopes=list(before.scopes),
            scopes=list(chosen),
        )
        await audit.append(transaction, [entry], now_us=now)
        return key

    key = run(lambda database: run_transaction(database, change), missing=ExitCode.FAILURE)
    show_lines({"id": key.id, "scopes": list(key.scopes), "status": "scopes-migrated"}, as_json=as_json)


def keys_callback(
    ctx: typer.Context,
    *,
    team: Team = None,
    limit: Limit = 100,
    offset: Offset = 0,
    as_json: AsJson = False,
) -> None:
    """List as `api-key list --active` does, where no command follows."""
    if ctx.invoked_subcommand is None:
        list_keys(team=team, limit=limit, offset=offset, active=True, as_json=as_json)


def rotate_own(*, as_json: AsJson = False) -> None:
    """Replace the key in this user's settings file; the new one is written there and not printed."""
    with client_errors():
        path = client_settings.settings_path()
        stored = client_settings.resolve_settings({}, read_json_object(path), path=path)
        raw = stored.api_key.value
        if not raw:
            fail(f"{path} holds no key", hint="claude-mem install, or claude-mem server api-key create")
        # Before the old key ends: is the file one that can be replaced?
        client_settings.write_settings({})

    async def work(database: Database) -> NewKey:
        found = await keys.find_by_hashes(database, [hash_api_key(raw)])
        if not found:
            raise NotFound(f"the key in {path} is not one of this database's")
        return await _rotate(database, next(iter(found.values())), overlap_s=0)

    made = run(work, missing=ExitCode.FAILURE)
    with client_errors():
        client_settings.write_settings({client_settings.SERVER_API_KEY: made.raw})
        in_use = client_settings.load_settings().api_key
    if in_use.value != made.raw:
        note(f"{in_use.origin} still holds another key, and comes before the file")
    result = {
        "rotated": True,
        "apiKeyId": made.key.id,
        "teamId": made.key.team_id,
        "projectId": made.key.project_id,
        "settingsPath": str(path),
    }
    show_lines(result, as_json=as_json)


async def _rotate(database: Database, key: ApiKey, *, overlap_s: int) -> NewKey:
    entry = cli_entry(
        "api_key.rotate", key.id, team_id=key.team_id, project_id=key.project_id, overlapSeconds=overlap_s
    )
    return await rotate_key(database, key, overlap_s=overlap_s, actor_id=CLI_ACTOR, origin="cli", entry=entry)


async def _find(executor: Executor, key_id: str) -> ApiKey:
    key = await keys.find(executor, key_id)
    if key is None:
        raise NotFound(f"there is no API key {key_id!r}")
    return key


def split_scopes(given: list[str] | None) -> list[str]:
    """Scopes that may be parted by commas, repeated, or both."""
    return [scope for part in given or [] for word in part.split(",") if (scope := word.strip())]


def _shown_once(made: NewKey) -> dict[str, Any]:
    key = made.key
    return {
        "id": key.id,
        "key": made.raw,
        "name": key.name,
        "teamId": key.team_id,
        "projectId": key.project_id,
        "scopes": list(key.scopes),
    }


def _entry(key: ApiKey, now: int) -> dict[str, Any]:
    expired = key.expires_ms is not None and key.expires_ms * 1000 <= now
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "teamId": key.team_id,
        "projectId": key.project_id,
        "scopes": list(key.scopes),
        "status": "revoked" if key.revoked_ms is not None else "expired" if expired else "active",
        "lastUsedAt": time_or_none(key.last_used_ms),
        "expiresAt": time_or_none(key.expires_ms),
        "createdAt": time_or_none(key.created_ms),
    }


def _cell(value: Any) -> object:
    return ", ".join(value) if isinstance(value, list) else value
