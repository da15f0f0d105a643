"""API keys are made, listed, replaced and ended. No key can touch one that may do more, nor make one that writes more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from claude_mem.model import scopes as known_scopes
from claude_mem.model.errors import Conflict, Forbidden, InvalidInput, Issue, NotFound
from claude_mem.model.identity import ApiKeyOrigin, hash_api_key, new_api_key, new_id
from claude_mem.model.records import ApiKey, AuditEntry
from claude_mem.model.times import now_us
from claude_mem.services.cleaning import clean_text
from claude_mem.services.paging import Page, page_of
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import audit, keys, rows
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database, Executor, run_transaction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.services.context import RequestContext

_DAY_US = 86_400_000_000

#: Characters of a raw key that are kept to tell keys apart in a list.
PREFIX_LENGTH = 10


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made.

    Parameters:
        raw: shown once and kept nowhere.
    """

    key: ApiKey
    raw: str


def check_scopes(wanted: Sequence[str]) -> tuple[str, ...]:
    """Scopes as they are stored.

    Raises: InvalidInput for a scope that no route knows, or for none at all.
    """
    unknown = [scope for scope in wanted if scope not in known_scopes.KNOWN]
    if unknown or not wanted:
        known = ", ".join(sorted(known_scopes.KNOWN))
        reason = f"unknown scope {unknown[0]!r}" if unknown else "a key needs at least one scope"
        message = f"{reason}; known scopes: {known}"
        raise InvalidInput(message, (Issue("invalid_value", ("scopes",), message),))
    return tuple(dict.fromkeys(wanted))


class KeyService:
    """Manages keys for a caller who holds one; see `claude_mem.services.bootstrap` for the first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        context: RequestContext,
        *,
        name: str | None,
        scopes: Sequence[str],
        expires_in_days: int | None,
        project_id: str | None = None,
    ) -> NewKey:
        """Make a key of the caller's team, with the caller's project restriction or a narrower one.

        As in claude-mem 13, whoever may write may make a key that only reads; it sees no more than the caller's project.

        Raises: Forbidden for scopes or a project beyond the caller's, InvalidInput, Unavailable.
        """
        team_id = context.team_id
        chosen = check_scopes(scopes)
        if not known_scopes.covers({known_scopes.READ, *context.principal.scopes}, chosen):
            raise Forbidden("a key cannot make one with scopes that it does not have")
        if project_id is not None:
            context.check_project(project_id)
        made = make_key(
            team_id=team_id,
            project_id=project_id or context.principal.project_id,
            actor_id=_actor(context),
            name=name,
            scopes=chosen,
            expires_us=None if expires_in_days is None else now_us() + expires_in_days * _DAY_US,
            origin="http",
        )
        await store_key(self._database, made, entry=_created(context, made.key))
        return made

    async def list_page(
        self, context: RequestContext, *, active: bool, cursor: str | None, limit: int
    ) -> Page[ApiKey]:
        """Keys of the caller's scope, newest first; never a raw key or its hash."""
        found = await keys.list_rows(
            self._database,
            team_id=context.team_id,
            project_id=context.principal.project_id,
            active=active,
            before=Cursor.decode(cursor),
            limit=limit + 1,
            now_us=now_us(),
        )
        return page_of(found, limit, convert=rows.api_key)

    async def revoke(self, context: RequestContext, key_id: str) -> ApiKey:
        """End a key; it fails on the very next request.

        Raises: NotFound, Forbidden for a key that may do more than the caller's, Conflict when it had ended.
        """
        key = await self._touchable(context, key_id)

        async def change(transaction: Executor) -> ApiKey:
            revoked = await keys.revoke(transaction, key.id, now_us=now_us())
            if revoked is None:
                raise Conflict("API key is already revoked")
            entry = context.audit("api_key.revoke", "api_key", resource_id=key.id, project_id=key.project_id)
            await audit.append(transaction, [entry], now_us=now_us())
            return revoked

        with refuse_storage_errors():
            return await run_transaction(self._database, change)

    async def rotate(self, context: RequestContext, key_id: str, *, overlap_s: int) -> NewKey:
        """Make a key of the same name, scopes and lifetime in place of another.

        Parameters:
            overlap_s: seconds for which the old key still works; 0 ends it at once.

        Raises: NotFound, Forbidden for a key that may do more than the caller's, Conflict when it had ended.
        """
        key = await self._touchable(context, key_id)
        return await rotate_key(
            self._database,
            key,
            overlap_s=overlap_s,
            actor_id=_actor(context),
            origin="http",
            entry=context.audit(
                "api_key.rotate",
                "api_key",
                resource_id=key.id,
                project_id=key.project_id,
                overlapSeconds=overlap_s,
            ),
        )

    async def _touchable(self, context: RequestContext, key_id: str) -> ApiKey:
        team_id = context.team_id
        key = await keys.find(self._database, key_id)
        if key is None or key.team_id != team_id:
            raise NotFound("API key not found")
        within = context.principal.project_id in {None, key.project_id}
        if not within:
            raise NotFound("API key not found")
        if not known_scopes.covers(context.principal.scopes, key.scopes):
            raise Forbidden("a key cannot touch one with scopes that it does not have")
        return key


def make_key(
    *,
    team_id: str | None,
    project_id: str | None,
    actor_id: str,
    name: str | None,
    scopes: Sequence[str],
    expires_us: int | None,
    origin: ApiKeyOrigin,
) -> NewKey:
    """A new key that is not stored yet; nothing private is left in its name."""
    raw = new_api_key(origin)
    name = None if name is None else clean_text(name)[0]
    key = ApiKey(
        id=new_id(),
        team_id=team_id,
        project_id=project_id,
        actor_id=actor_id,
        name=name,
        prefix=raw[:PREFIX_LENGTH],
        scopes=tuple(scopes),
        created_ms=now_us() // 1000,
        expires_ms=None if expires_us is None else expires_us // 1000,
    )
    return NewKey(key, raw)


async def store_key(database: Database, made: NewKey, *, entry: AuditEntry) -> None:
    """Store a new key with its line in the audit log."""

    async def store(transaction: Executor) -> None:
        now = now_us()
        await keys.insert(transaction, made.key, key_hash=hash_api_key(made.raw), now_us=now)
        await audit.append(transaction, [entry], now_us=now)

    with refuse_storage_errors():
        await run_transaction(database, store)


async def rotate_key(
    database: Database, key: ApiKey, *, overlap_s: int, actor_id: str, origin: ApiKeyOrigin, entry: AuditEntry
) -> NewKey:
    """Put a new key in the place of another, in one transaction.

    Raises: Conflict when the old key had ended.
    """
    now = now_us()
    lifetime = None if key.expires_ms is None else now + (key.expires_ms - key.created_ms) * 1000
    made = make_key(
        team_id=key.team_id,
        project_id=key.project_id,
        actor_id=actor_id,
        name=key.name,
        scopes=key.scopes,
        expires_us=lifetime,
        origin=origin,
    )

    async def store(transaction: Executor) -> None:
        await keys.insert(transaction, made.key, key_hash=hash_api_key(made.raw), now_us=now)
        until = now + overlap_s * 1_000_000
        until = until if key.expires_ms is None else min(until, key.expires_ms * 1000)
        replaced = await keys.replace(
            transaction, key.id, replaced_by=made.key.id, expires_us=until, now_us=now
        )
        if replaced is None:
            raise Conflict("API key is revoked or expired and cannot be rotated")
        if overlap_s <= 0:
            await keys.revoke(transaction, key.id, now_us=now)
        await audit.append(transaction, [entry], now_us=now)

    with refuse_storage_errors():
        await run_transaction(database, store)
    return made


def _actor(context: RequestContext) -> str:
    """Whom a key that the caller makes is ascribed to."""
    return context.principal.key_id or context.principal.actor_id or "local-dev"


def _created(context: RequestContext, key: ApiKey) -> AuditEntry:
    return context.audit(
        "api_key.create",
        "api_key",
        resource_id=key.id,
        project_id=key.project_id,
        name=key.name,
        scopes=list(key.scopes),
        source="http",
    )
