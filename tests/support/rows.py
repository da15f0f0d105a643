"""Rows as the storage takes them, and the moment at which tests of statements make them."""

from __future__ import annotations

from typing import Any

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.records import Observation, Session
from claude_mem.storage import jobs, work
from claude_mem.storage.database import Database
from tests.support.load import World

NOW = 1_750_000_000_000_000
LEASE = 30_000_000
FAILURE = Document.of({"reason": "no", "classification": "transient"})


async def claim(database: Database, *, limit: int, at_us: int = NOW, mates: int = 1) -> list[Any]:
    terms = work.ClaimTerms(worker="w", lease_us=LEASE, mates=mates, patience_us=60_000_000)
    return await work.claim(database, terms, limit=limit, now_us=at_us)


def audit_scope(world: World) -> dict[str, Any]:
    return {
        "team_id": world.team_id,
        "project_id": world.project_id,
        "actor_id": "actor",
        "api_key_id": None,
    }


def new_session(
    world: World, name: str, *, external: str | None, content: str | None, platform: str | None
) -> Session:
    return Session(
        id=name,
        project_id=world.project_id,
        team_id=world.team_id,
        external_session_id=external,
        content_session_id=content,
        agent_id=None,
        agent_type=None,
        platform_source=platform,
        generation_status="idle",
        metadata=Document.of({"prompt": "hi"}),
        started_ms=0,
        ended_ms=None,
        last_generated_ms=None,
        created_ms=0,
        updated_ms=0,
    )


def new_job(world: World, event_id: str) -> jobs.NewJob:
    return jobs.NewJob(
        id=f"job-{event_id}",
        project_id=world.project_id,
        team_id=world.team_id,
        agent_event_id=event_id,
        source_type="agent_event",
        source_id=event_id,
        server_session_id=None,
        job_type="observation_generate_for_event",
        key=f"key-{event_id}",
        bullmq_job_id=f"evt_{event_id}",
        max_attempts=3,
        payload=Document.of({"kind": "event", "n": 2**60}),
        created_us=NOW,
    )


def new_observation(
    world: World, name: str, content: str, *, key: str | None = None, job: str | None = None
) -> Observation:
    return Observation(
        id=name,
        project_id=world.project_id,
        team_id=world.team_id,
        server_session_id=None,
        kind="manual",
        content=content,
        metadata=EMPTY,
        created_ms=NOW // 1000,
        updated_ms=NOW // 1000,
        generation_key=key,
        created_by_job_id=job,
    )
