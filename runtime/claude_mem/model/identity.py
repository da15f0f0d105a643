"""How rows are named: idempotency keys, transport job ids, row ids, API keys and their hashes.

The keys equal those that claude-mem 13 stored, so a database that is adopted recognises what it already
holds. Every argument is as stored (platforms normalised); looking anything up is the storage's work.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import Final, Literal

from claude_mem.model.canonical import js_json, js_trim, sha256_hex
from claude_mem.model.times import iso8601_ms

JobKind = Literal["event", "summary"]
ApiKeyOrigin = Literal["http", "cli"]

_TRANSPORT_PREFIX: Final[dict[JobKind, str]] = {"event": "evt", "summary": "sum"}
_API_KEY_PREFIX: Final[dict[ApiKeyOrigin, str]] = {"http": "cm_", "cli": "cmem_"}
_API_KEY_BYTES: Final = 24


def event_key(  # noqa: PLR0913 - the identity of an event has this many parts
    *,
    team_id: str,
    project_id: str,
    adapter: str,
    platform: str | None,
    source_event_id: str | None,
    content_session_id: str | None,
    server_session_id: str | None,
    event_type: str,
    occurred_at_ms: int,
    payload_canonical: str,
) -> str:
    """The idempotency key of an event.

    With a `source_event_id` the client's own id decides; else what was observed does: session, type, time and
    payload. `payload_canonical` is `canonical_json` of the payload as received, before anything private is
    taken out, `{}` if it was null. `occurred_at_ms` is in milliseconds of the Unix epoch. Raises ValueError
    when that is beyond `MAX_EPOCH_MS`.
    """
    parts: list[str | None] = [team_id, project_id, adapter]
    if platform is not None:
        parts.append(platform)
    if source_event_id is not None:
        parts.append(source_event_id)
    else:
        session = content_session_id if content_session_id is not None else server_session_id
        parts += [session, event_type, iso8601_ms(occurred_at_ms), payload_canonical]
    return f"agent_event:v1:{sha256_hex(parts)}"


def session_key(
    *,
    team_id: str,
    project_id: str,
    platform: str | None,
    external_session_id: str | None,
    content_session_id: str | None,
    agent_id: str | None,
    agent_type: str | None,
) -> str | None:
    """The idempotency key of a session, or None when nothing names it and every start is a new session.

    An external id wins over a content id, and both over an agent on a platform. The first two are ids of one
    conversation and keep their row for ever. An agent is not a conversation: its key stands for the session
    it has open now, so that a repeated start finds that session, and a start after the end gets a new one.
    For those keys (`is_open_session_key`) the storage must give the key up when the session has ended;
    adopted rows that ended before still hold theirs, so it does this at the next start too.
    """
    if external_session_id is not None:
        platform_part = [] if platform is None else [platform]
        parts: list[str | None] = [team_id, project_id, "external", *platform_part, external_session_id]
    elif content_session_id is not None:
        parts = [team_id, project_id, "content", platform, agent_id, content_session_id]
    elif agent_id is not None and platform is not None:
        parts = [team_id, project_id, "agent", platform, agent_id, agent_type]
    else:
        return None
    return f"server_session:v1:{sha256_hex(parts)}"


def is_open_session_key(*, external_session_id: str | None, content_session_id: str | None) -> bool:
    """Whether `session_key` of these ids stands only for the session that an agent has open now."""
    return external_session_id is None and content_session_id is None


def job_key(*, team_id: str, project_id: str, source_type: str, source_id: str, job_type: str) -> str:
    """The idempotency key of a generation job: one per source and type of job."""
    digest = sha256_hex([team_id, project_id, source_type, source_id, job_type])
    return f"observation_generation_job:v1:{digest}"


def generation_key(*, job_id: str, index: int, content: str) -> str:
    """The idempotency key of the observation at `index` (from 0) of a job's reply."""
    return f"generation:v1:{job_id}:{index}:{sha256_hex([js_json(js_trim(content))])}"


def transport_job_id(
    *, kind: JobKind, team_id: str, project_id: str, source_type: str, source_id: str
) -> str:
    """The id by which the queue knows a job: `evt_` or `sum_` and 64 hexadecimal digits."""
    source = {
        "kind": kind,
        "team_id": team_id,
        "project_id": project_id,
        "source_type": source_type,
        "source_id": source_id,
    }
    return f"{_TRANSPORT_PREFIX[kind]}_{hashlib.sha256(js_json(source).encode()).hexdigest()}"


def new_id() -> str:
    """A random UUID, version 4, as text. Made from bytes directly: `uuid.uuid4` takes twice as long."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def new_api_key(origin: ApiKeyOrigin) -> str:
    """A new raw API key of 192 random bits, in the form of its origin: the HTTP API or the command line."""
    return _API_KEY_PREFIX[origin] + secrets.token_hex(_API_KEY_BYTES)


def hash_api_key(raw: str) -> str:
    """The lower-case hexadecimal SHA-256 under which a raw API key is stored and looked up."""
    return hashlib.sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()
