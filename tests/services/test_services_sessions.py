"""Sessions start once for each conversation, end once, and an agent's next one is another."""

from __future__ import annotations

import asyncio

import pytest

from claude_mem.model.errors import Forbidden, NotFound
from claude_mem.queue.local import DisabledQueue
from claude_mem.services.ingest import IngestService
from claude_mem.services.sessions import Ended, SessionInput, SessionService, Started
from claude_mem.storage import jobs
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.load import SOURCE, World

AT_ONCE = 30


@pytest.fixture
def sessions(database: Database) -> SessionService:
    return SessionService(database, DisabledQueue())


async def start(sessions: SessionService, world: World, **given: object) -> Started:
    return await sessions.start(world.caller, SessionInput(world.project_id, **given))  # type: ignore[arg-type]


async def end(sessions: SessionService, world: World, session_id: str) -> Ended:
    return await sessions.end(
        world.caller, session_id, source="http_post_v1_sessions_end", source_adapter="server"
    )


IDENTITIES = [
    {"external_session_id": "talk", "platform": "cursor"},
    {"external_session_id": "talk"},
    {"content_session_id": "talk", "platform": "cursor", "agent_id": "a"},
    {"agent_id": "a", "platform": "cursor", "agent_type": "reviewer"},
]


@pytest.mark.parametrize("identity", IDENTITIES, ids=["external", "bare external", "content", "agent"])
async def test_starts_at_once_are_one_session(
    storage: Storage, sessions: SessionService, world: World, identity: dict[str, str]
) -> None:
    other = SessionService(await storage.open(), DisabledQueue())
    started = await asyncio.gather(
        *(start(service, world, **identity) for service in (sessions, other) for _ in range(AT_ONCE // 2))
    )
    assert len({item.session.id for item in started}) == 1
    assert await storage.query("select count(*) from server_sessions") == [(1,)]


async def test_platforms_keep_external_ids_apart(sessions: SessionService, world: World) -> None:
    platforms = ("cursor", "codex", None)
    first = [await start(sessions, world, external_session_id="talk", platform=p) for p in platforms]
    again = [await start(sessions, world, external_session_id="talk", platform=p) for p in platforms]
    assert [item.session.id for item in first] == [item.session.id for item in again]
    assert len({item.session.id for item in first}) == 3
    assert [item.found for item in first + again] == [False] * 3 + [True] * 3


async def test_without_any_identity_each_start_is_a_session(sessions: SessionService, world: World) -> None:
    one, two = await start(sessions, world), await start(sessions, world)
    assert one.session.id != two.session.id


async def test_an_agents_next_session_is_another_and_the_ended_one_stays(
    sessions: SessionService, world: World
) -> None:
    """In claude-mem 13 all sessions of an agent without an id are one row for ever (D18)."""
    agent = {"agent_id": "a", "platform": "cursor"}
    first = await start(sessions, world, **agent, metadata={"n": 1})
    repeated = await start(sessions, world, **agent, metadata={"m": 2})
    assert repeated.session.id == first.session.id
    assert repeated.session.metadata.value == {"n": 1, "m": 2}, "a repeated start takes nothing away"
    await end(sessions, world, first.session.id)
    following = await asyncio.gather(*(start(sessions, world, **agent) for _ in range(AT_ONCE)))
    (second,) = {item.session.id for item in following}
    assert second != first.session.id
    kept = await sessions.get(world.caller, first.session.id)
    assert kept.ended_ms is not None
    assert kept.metadata.value == {"n": 1, "m": 2}


async def test_a_conversation_that_has_ended_is_found_again(sessions: SessionService, world: World) -> None:
    for identity in IDENTITIES[:3]:
        first = await start(sessions, world, **identity)
        await end(sessions, world, first.session.id)
        again = await start(sessions, world, **identity)
        assert again.session.id == first.session.id
        assert again.session.ended_ms is not None


async def test_ends_at_once_ask_for_one_summary(
    storage: Storage, sessions: SessionService, world: World, database: Database
) -> None:
    session = (await start(sessions, world, content_session_id="talk")).session
    other = SessionService(await storage.open(), DisabledQueue())
    ended = await asyncio.gather(
        *(end(service, world, session.id) for service in (sessions, other) for _ in range(AT_ONCE // 2))
    )
    assert len({item.job.id for item in ended}) == 1
    assert len({item.session.ended_ms for item in ended}) == 1
    job = await jobs.find_anywhere(database, ended[0].job.id)
    assert job is not None
    assert job.payload.members["generation_job_id"] == job.id
    assert job.payload.members["request_id"] is None
    assert [line.event_type for line in await jobs.history(database, job.id)] == ["queued"]


async def test_events_join_the_newest_session_of_their_conversation(
    sessions: SessionService, world: World, database: Database
) -> None:
    ingest = IngestService(database, DisabledQueue())
    talk = "talk"
    plain = (await start(sessions, world, content_session_id=talk)).session.id
    cursor = (await start(sessions, world, content_session_id=talk, platform="cursor")).session.id

    async def linked(number: int, **given: object) -> str | None:
        received = world.event(number, content_session_id=talk, **given)
        stored = await ingest.ingest(world.caller, received, generate=False, source=SOURCE)
        return stored.event.server_session_id

    assert await linked(1) == cursor
    assert await linked(2, any_platform=False, platform=None) == plain
    assert await linked(3, any_platform=False, platform="cursor") == cursor
    assert await linked(4, any_platform=False, platform="codex") is None
    assert await linked(5, project_id=world.sibling_id) is None
    assert await linked(6, server_session_id=plain) == plain
    await ingest.close()


async def test_sessions_of_others_are_not_there(sessions: SessionService, world: World) -> None:
    session = (await start(sessions, world)).session
    stranger = world.caller_of(world.other_team_id)
    sibling = world.caller_of(world.team_id, project_id=world.sibling_id)
    for caller, error in ((stranger, NotFound), (sibling, Forbidden)):
        with pytest.raises(error):
            await sessions.get(caller, session.id)
        with pytest.raises(error):
            await sessions.end(caller, session.id, source="test", source_adapter="server")
    with pytest.raises(Forbidden):
        await sessions.start(stranger, SessionInput(world.project_id))
    with pytest.raises(Forbidden):
        await sessions.start(sibling, SessionInput(world.project_id))


async def test_what_is_private_in_a_sessions_metadata_is_not_kept(
    sessions: SessionService, world: World
) -> None:
    started = await start(
        sessions, world, metadata={"prompt": "see <private>my own</private> file", "n": [1]}
    )
    assert started.redactions == 1
    assert "my own" not in started.session.metadata.text
    assert started.session.metadata.members["n"] == [1]
