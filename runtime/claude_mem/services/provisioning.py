"""A team, a project and a key are as a deployment wants them, however often and by how many it is said.

Whoever installs the server (the operator, a script) states names and a key's value; what is missing is made, and what
is there stays. The command line reads the key's file; `bootstrap` has what people make one by one.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem.model.documents import Document
from claude_mem.model.errors import Conflict, InvalidInput
from claude_mem.model.identity import hash_api_key, new_id
from claude_mem.model.records import ApiKey, Project, Team
from claude_mem.model.times import now_us
from claude_mem.services.authentication import is_active
from claude_mem.services.bootstrap import cli_entry
from claude_mem.services.keys import PREFIX_LENGTH, check_scopes
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import audit, keys, tenancy
from claude_mem.storage.database import Database, Executor, Retryable, UniqueViolation, run_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Whom keys that are made here are ascribed to, so that they replace each other and nobody else's.
ACTOR: Final = "system:bootstrap"

#: What a key's value may be: characters of a bearer token (RFC 6750 section 2.1), as many as our own keys have.
SHORTEST_KEY: Final = 51
LONGEST_KEY: Final = 512
_KEY = re.compile(rf"[A-Za-z0-9._~+/-]{{{SHORTEST_KEY},{LONGEST_KEY}}}=*")

# Ids follow from names (UUID version 5, RFC 9562 section 5.5): of two processes at once the second finds the first's
# row by its id, and a team that was renamed is still the one that was made.
_NAMES = uuid.uuid5(uuid.NAMESPACE_DNS, "bootstrap.claude-mem.dev")
_ORIGIN = Document('{"source":"bootstrap"}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be there.

    Parameters:
        team: the team's name.
        project: the project's name within the team.
        raw_key: the value of the key, which is in no message.
        scopes: what the key may do.
        key_name: what the key is called; a key of the same name and project is the one that it replaces.
    """

    team: str
    project: str
    raw_key: str
    scopes: Sequence[str]
    key_name: str

    def __repr__(self) -> str:
        return f"Wanted(team={self.team!r}, project={self.project!r}, key_name={self.key_name!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """What is there now.

    Parameters:
        created: which of `team`, `project` and `key` were not there before.
        revoked: ids of keys whose place the key took.
    """

    team: Team
    project: Project
    key: ApiKey
    created: tuple[str, ...]
    revoked: tuple[str, ...]


def check_key(raw: str) -> str:
    """The value of a key that somebody else made.

    Raises: InvalidInput when it could not be sent as a bearer token, or could be guessed sooner than one of ours.
    """
    if not _KEY.fullmatch(raw):
        raise InvalidInput(
            f"an API key has {SHORTEST_KEY} to {LONGEST_KEY} letters, digits or characters of ._~+/- and nothing else; "
            f"what was given has {len(raw)} characters, or others"
        )
    return raw


async def provision(database: Database, wanted: Wanted) -> Provisioned:
    """Make what is missing of a team, a project and its key, in one transaction.

    An earlier key of the same name that was made here is revoked. A key that is there gets the scopes.

    Raises: InvalidInput, Conflict when the key had ended or belongs elsewhere, Unavailable.
    """
    check_key(wanted.raw_key)
    scopes = check_scopes(wanted.scopes)

    async def ensure(executor: Executor) -> Provisioned:
        created: list[str] = []
        team = await _ensure_team(executor, wanted.team, created)
        project = await _ensure_project(executor, team, name=wanted.project, created=created)
        # One at a time within a project, so that two new keys do not leave each other alive.
        if not await tenancy.lock_exclusive(executor, project_id=project.id, team_id=team.id):
            raise Retryable("the project was deleted meanwhile")
        key = await _ensure_key(executor, project, wanted=wanted, scopes=scopes, created=created)
        revoked = await _revoke_earlier(executor, project, key=key, name=wanted.key_name)
        return Provisioned(
            team=team, project=project, key=key, created=tuple(created), revoked=tuple(revoked)
        )

    with refuse_storage_errors():
        return await run_transaction(database, ensure)


async def _ensure_team(executor: Executor, name: str, created: list[str]) -> Team:
    team_id = str(uuid.uuid5(_NAMES, name))
    found = await tenancy.find_team_by_name(executor, name) or await tenancy.find_team(executor, team_id)
    if found is not None:
        return found
    now = now_us()
    if await tenancy.add_team(executor, team_id=team_id, name=name, metadata=_ORIGIN, now_us=now):
        created.append("team")
        entry = cli_entry("team.create", team_id, team_id=team_id, project_id=None, name=name)
        await audit.append(executor, [entry], now_us=now)
    team = await tenancy.find_team(executor, team_id)
    if team is None:
        raise Retryable("the team was deleted meanwhile")
    return team


async def _ensure_project(executor: Executor, team: Team, *, name: str, created: list[str]) -> Project:
    project_id = str(uuid.uuid5(_NAMES, f"{team.id}\n{name}"))
    found = await tenancy.find_project_by_name(
        executor, team_id=team.id, name=name
    ) or await tenancy.find_project(executor, project_id=project_id, team_id=team.id)
    if found is not None:
        return found
    now = now_us()
    if await tenancy.add_project(
        executor, project_id=project_id, team_id=team.id, name=name, metadata=_ORIGIN, now_us=now
    ):
        created.append("project")
        entry = cli_entry("project.create", project_id, team_id=team.id, project_id=project_id, name=name)
        await audit.append(executor, [entry], now_us=now)
    project = await tenancy.find_project(executor, project_id=project_id, team_id=team.id)
    if project is None:
        raise Retryable("the project was deleted meanwhile")
    return project


async def _ensure_key(
    executor: Executor, project: Project, *, wanted: Wanted, scopes: tuple[str, ...], created: list[str]
) -> ApiKey:
    digest = hash_api_key(wanted.raw_key)
    found = (await keys.find_by_hashes(executor, [digest])).get(digest)
    if found is not None:
        _refuse_unusable(found, project)
        return found if found.scopes == scopes else await _set_scopes(executor, found, scopes)
    now = now_us()
    key = ApiKey(
        id=new_id(),
        team_id=project.team_id,
        project_id=project.id,
        actor_id=ACTOR,
        name=wanted.key_name,
        prefix=wanted.raw_key[:PREFIX_LENGTH],
        scopes=scopes,
        created_ms=now // 1000,
    )
    try:
        await keys.insert(executor, key, key_hash=digest, now_us=now)
    except UniqueViolation as error:
        raise Retryable("another process stored the same key meanwhile") from error
    created.append("key")
    entry = cli_entry(
        "api_key.create",
        key.id,
        team_id=key.team_id,
        project_id=key.project_id,
        name=key.name,
        scopes=list(scopes),
    )
    await audit.append(executor, [entry], now_us=now)
    return key


def _refuse_unusable(key: ApiKey, project: Project) -> None:
    if not is_active(key, now_us()):
        raise Conflict(
            f"the key is {key.id}, which was revoked or has expired, and does not come back; put a new value in its place"
        )
    if (key.team_id, key.project_id) != (project.team_id, project.id):
        raise Conflict(
            f"the key is {key.id}, which belongs to another team or project; put a value of its own in its place"
        )


async def _set_scopes(executor: Executor, key: ApiKey, scopes: tuple[str, ...]) -> ApiKey:
    now = now_us()
    changed = await keys.set_scopes(executor, key.id, scopes=scopes, now_us=now)
    if changed is None:
        raise Retryable("the key was revoked meanwhile")
    entry = cli_entry(
        "api_key.migrate_scopes",
        key.id,
        team_id=key.team_id,
        project_id=key.project_id,
        previousScopes=list(key.scopes),
        scopes=list(scopes),
    )
    await audit.append(executor, [entry], now_us=now)
    return changed


async def _revoke_earlier(executor: Executor, project: Project, *, key: ApiKey, name: str) -> list[str]:
    """End the keys that `key` takes the place of; jobs that they asked for go on, as after any rotation."""
    revoked = []
    earlier = await keys.find_working(
        executor, team_id=project.team_id, project_id=project.id, actor_id=ACTOR, name=name
    )
    for old in earlier:
        now = now_us()
        if old.id == key.id or not await keys.revoke(executor, old.id, now_us=now, replaced_by=key.id):
            continue
        revoked.append(old.id)
        entry = cli_entry(
            "api_key.rotate", old.id, team_id=old.team_id, project_id=old.project_id, overlapSeconds=0
        )
        await audit.append(executor, [entry], now_us=now)
    return revoked
