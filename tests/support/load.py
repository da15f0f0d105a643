"""What tests fill a database with: a team with a project, callers, and events, many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pytest

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.identity import new_id
from claude_mem.model.records import Event, Principal
from claude_mem.services.context import RequestContext
from claude_mem.services.ingest import EventInput
from claude_mem.storage import tenancy
from claude_mem.storage.database import Database, Executor

T = TypeVar("T")

POLL_SECONDS = 0.01
SOURCE = "http_post_v1_events"


@dataclass(frozen=True, slots=True)
class World:
    """A team with two projects, and another team."""

    team_id: str = "team Ω/1"
    project_id: str = "project ü:1"
    sibling_id: str = "project-2"
    other_team_id: str = "others"
    other_project_id: str = "theirs"

    @property
    def caller(self) -> RequestContext:
        """Somebody with a key for the whole team."""
        return self.caller_of(self.team_id)

    def caller_of(
        self, team_id: str, *, project_id: str | None = None, scopes: Iterable[str] = ("*",)
    ) -> RequestContext:
        """Somebody without a row in `api_keys`, so that nothing can revoke it."""
        return RequestContext(
            Principal(
                key_id=None,
                actor_id="tester",
                team_id=team_id,
                project_id=project_id,
                scopes=frozenset(scopes),
            ),
            request_id="request-1",
        )

    def event(self, number: int, **changes: Any) -> EventInput:
        """The event of this number, the same each time it is asked for."""
        usual = EventInput(
            project_id=self.project_id,
            adapter="hook",
            event_type="tool_use",
            occurred_ms=1_750_000_000_000 + number,
            payload={"tool_name": "Edit", "number": number, "note": f"naïve {number}"},
        )
        return replace(usual, **changes)

    def stored_event(self, name: str, **changes: Any) -> Event:
        """A row as the storage takes it; its id is the name."""
        usual = Event(
            id=name,
            project_id=self.project_id,
            team_id=self.team_id,
            server_session_id=None,
            source_adapter="hook",
            source_event_id=None,
            event_type="tool_use",
            platform_source=None,
            payload=Document.of({"n": name}),
            metadata=EMPTY,
            occurred_ms=1_750_000_000_000,
            received_ms=1_750_000_000_001,
            created_ms=1_750_000_000_001,
        )
        return replace(usual, **changes)


async def make_world(executor: Database | Executor) -> World:
    """Store the teams and projects of a world."""
    world = World()
    for team_id in (world.team_id, world.other_team_id):
        await tenancy.create_team(executor, team_id=team_id, name=team_id, metadata=EMPTY, now_us=1)
    owners = {
        world.project_id: world.team_id,
        world.sibling_id: world.team_id,
        world.other_project_id: world.other_team_id,
    }
    for at, (project_id, team_id) in enumerate(owners.items()):
        await tenancy.create_project(
            executor, project_id=project_id, team_id=team_id, name=project_id, metadata=EMPTY, now_us=at
        )
    return world


@pytest.fixture
async def world(database: Database) -> World:
    """The rows of a world, in a test's database."""
    return await make_world(database)


async def until(condition: Callable[[], Awaitable[T]], *, what: str, timeout_s: float = 240) -> T:
    """The first true answer of `condition`; AssertionError after `timeout_s` seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not (found := await condition()):
        if loop.time() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}")
        await asyncio.sleep(POLL_SECONDS)
    return found


def unique(prefix: str) -> str:
    """A name that no other row has."""
    return f"{prefix}-{new_id()}"
