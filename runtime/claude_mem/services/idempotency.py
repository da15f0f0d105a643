"""Requests that are sent again under the same Idempotency-Key: carried out once, answered the same.

An answer may hold a new API key or a memory, so it is kept encrypted, under a key that is derived from what only the client
sends: its API key, of which the database has the hash alone, and the Idempotency-Key, which is part of a hash too. Whoever
reads the table learns nothing.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from claude_mem.model.canonical import canonical_json
from claude_mem.model.errors import IdempotencyMismatch, RequestUnderWay
from claude_mem.model.identity import new_id
from claude_mem.model.times import now_us
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.storage import idempotency

if TYPE_CHECKING:
    from claude_mem.storage.database import Database

#: Microseconds for which an answer is kept.
KEPT_US = 24 * 3600 * 1_000_000

#: Seconds between deletions of what is over.
_FORGET_S = 60.0

#: Bytes of the nonce of ChaCha20-Poly1305, RFC 8439.
_NONCE = 12


@dataclass(frozen=True, slots=True)
class Asked:
    """A request with an Idempotency-Key.

    Parameters:
        caller: id of the API key; empty in local development.
        secret: the raw API key; empty likewise.
        route: method and path.
        key: the Idempotency-Key.
        body_hash: SHA-256 of the query and the body, in hex.
    """

    team_id: str | None
    caller: str
    secret: str
    route: str
    key: str
    body_hash: str

    @property
    def id(self) -> str:
        """What the request is found by."""
        return hashlib.sha256(canonical_json([self.caller, self.route, self.key]).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What was answered."""

    status: int
    content: bytes


class IdempotentRequests:
    """Knows which requests were carried out."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._forget_at = 0.0

    async def begin(self, asked: Asked, *, lock_us: int) -> idempotency.Claim | KeptAnswer:
        """Take a request, or find what it was answered.

        Parameters:
            lock_us: for how long nobody else may take it, in microseconds; a process that dies gives it up then.

        Raises: IdempotencyMismatch for another request under the same key, and where the answer was purged;
            RequestUnderWay, Unavailable.
        """
        now = now_us()
        claim = idempotency.Claim(
            id=asked.id,
            team_id=asked.team_id,
            request_hash=asked.body_hash,
            owner=new_id(),
            locked_us=now + lock_us,
            expires_us=now + KEPT_US,
        )
        with refuse_storage_errors():
            if await idempotency.claim(self._database, claim, now_us=now):
                return claim
            kept = await idempotency.find(self._database, claim.id)
        if kept is not None and kept.request_hash != asked.body_hash:
            raise IdempotencyMismatch(
                "the Idempotency-Key was used for another request; take a new key for each request"
            )
        if kept is not None and kept.status is not None and not kept.answer:
            raise IdempotencyMismatch(
                "the request was carried out, and its answer was deleted when a project of the team was purged; look "
                "whether what it made is still there, and take a new Idempotency-Key to have it made again"
            )
        if kept is None or kept.status is None or not kept.answer:
            raise RequestUnderWay("the same request is under way; ask again for its answer")
        return KeptAnswer(kept.status, _unseal(asked, kept.answer))

    async def finish(self, asked: Asked, claim: idempotency.Claim, given: KeptAnswer) -> None:
        """Keep an answer.

        Raises: Unavailable, StorageError; then the request can be taken again when its lock ends.
        """
        answer = _seal(asked, given.content)
        await idempotency.finish(self._database, claim, status=given.status, answer=answer)

    async def abandon(self, claim: idempotency.Claim) -> None:
        """Let go of a request that came to nothing.

        Raises: Unavailable, StorageError.
        """
        await idempotency.abandon(self._database, claim)

    async def forget_old(self) -> None:
        """Delete what is over, at most once a minute.

        Raises: Unavailable, StorageError.
        """
        if monotonic() >= self._forget_at:
            self._forget_at = monotonic() + _FORGET_S
            await idempotency.forget(self._database, before_us=now_us())


def _cipher(asked: Asked) -> ChaCha20Poly1305:
    derived = HKDF(SHA256(), length=32, salt=bytes.fromhex(asked.id), info=b"claude-mem idempotent answer")
    return ChaCha20Poly1305(derived.derive(f"{asked.secret}\0{asked.key}".encode()))


def _seal(asked: Asked, content: bytes) -> bytes:
    nonce = os.urandom(_NONCE)
    return nonce + _cipher(asked).encrypt(nonce, content, asked.id.encode())


def _unseal(asked: Asked, answer: bytes) -> bytes:
    return _cipher(asked).decrypt(answer[:_NONCE], answer[_NONCE:], asked.id.encode())
