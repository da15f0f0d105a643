"""Keys become principals: looked up on every request, never cached, so that a revoked key fails at once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from claude_mem.model.errors import ClaudeMemError, Forbidden
from claude_mem.model.identity import hash_api_key
from claude_mem.model.records import Principal
from claude_mem.model.times import now_us
from claude_mem.services.group import GroupCommit
from claude_mem.storage import keys
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from claude_mem.model.records import ApiKey
    from claude_mem.storage.database import Database

logger = logging.getLogger(__name__)

INVALID_KEY = "Invalid API key or insufficient scope"

#: Microseconds that `last_used_at` may lag behind.
TOUCH_EVERY_US = 30_000_000


class Authenticator:
    """Finds out who a key belongs to.

    Parameters:
        database: where the keys are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lookup: GroupCommit[str, ApiKey | None] = GroupCommit(
            "keys", self._find_many, largest=256, parallel=2
        )
        self._touched: dict[str, int] = {}
        self._unwritten: dict[str, int] = {}

    async def authenticate(self, raw_key: str) -> Principal:
        """The principal of a raw key.

        Raises: Forbidden, with one message, when the key is unknown, revoked or expired; Unavailable.
        """
        key = await self._lookup.submit(hash_api_key(raw_key))
        now = now_us()
        if key is None or not is_active(key, now):
            raise Forbidden(INVALID_KEY)
        if now - self._touched.get(key.id, 0) > TOUCH_EVERY_US:
            self._touched[key.id] = self._unwritten[key.id] = now
        return principal_of(key)

    async def _find_many(self, hashes: Sequence[str]) -> Sequence[ApiKey | Exception | None]:
        found = await keys.find_by_hashes(self._database, hashes)
        return [found.get(digest) for digest in hashes]

    async def write_last_used(self) -> None:
        """Store when keys were last used; called now and then, and when the server stops."""
        unwritten, self._unwritten = self._unwritten, {}
        try:
            await keys.touch(self._database, unwritten)
        except (ClaudeMemError, StorageError) as error:
            logger.warning("last use of keys was not stored", extra={"reason": type(error).__name__})
        if len(self._touched) > 10_000:
            self._touched.clear()


def is_active(key: ApiKey, at_us: int) -> bool:
    """Whether a key is neither revoked nor expired."""
    return key.revoked_ms is None and (key.expires_ms is None or key.expires_ms * 1000 > at_us)


def principal_of(key: ApiKey) -> Principal:
    return Principal(
        key_id=key.id,
        actor_id=key.actor_id,
        team_id=key.team_id,
        project_id=key.project_id,
        scopes=frozenset(key.scopes),
    )
