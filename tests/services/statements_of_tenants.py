"""What statements promise of teams, projects, keys and sessions, on whichever storage."""

from __future__ import annotations

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.records import ApiKey
from claude_mem.storage import keys, sessions, tenancy
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database
from tests.support.load import World
from tests.support.rows import NOW, new_session


async def tenancy_rows(database: Database, world: World) -> None:
    team, project = world.team_id, world.project_id
    found = await tenancy.find_team(database, team)
    assert found is not None
    assert (found.name, found.created_ms) == (team, 0)
    await tenancy.create_team(database, team_id=team, name="again", metadata=EMPTY, now_us=NOW)
    assert (await tenancy.find_team(database, team)) == found
    await tenancy.create_team(database, team_id="later", name=team, metadata=EMPTY, now_us=NOW)
    oldest = await tenancy.find_team_by_name(database, team)
    assert oldest is not None
    assert oldest.id == team
    listed = await tenancy.list_teams(database, after=None, limit=2)
    assert [row["id"] for row in listed] == sorted([team, world.other_team_id])
    cursor = Cursor(listed[-1]["created_at"], listed[-1]["id"])
    assert [row["id"] for row in await tenancy.list_teams(database, after=cursor, limit=9)] == ["later"]
    renamed = await tenancy.rename_team(database, team_id="later", name="zwölf", now_us=NOW + 1_000_000)
    assert renamed is not None
    assert (renamed.name, renamed.updated_ms - renamed.created_ms) == ("zwölf", 1000)
    assert await tenancy.rename_team(database, team_id="absent", name="x", now_us=NOW) is None
    assert await tenancy.find_project(database, project_id=project, team_id=world.other_team_id) is None
    assert (await tenancy.find_project_anywhere(database, project)) == (
        await tenancy.find_project_by_name(database, team_id=team, name=project)
    )
    listed = await tenancy.list_projects(database, team_id=team, project_id=None, after=None, limit=9)
    assert [row["id"] for row in listed] == [project, world.sibling_id]
    only = await tenancy.list_projects(
        database, team_id=team, project_id=world.sibling_id, after=None, limit=9
    )
    assert [row["id"] for row in only] == [world.sibling_id]
    changed = await tenancy.update_project(
        database,
        project_id=project,
        team_id=team,
        name="new",
        metadata=Document.of({"mode": "research"}),
        now_us=NOW,
    )
    assert changed is not None
    assert (changed.name, changed.metadata.members) == ("new", {"mode": "research"})
    async with database.transaction() as transaction:
        held = await tenancy.lock_shared(transaction, {project, "absent", world.other_project_id})
        assert held == {project: team, world.other_project_id: world.other_team_id}
        assert await tenancy.lock_exclusive(transaction, project_id=project, team_id=team)
        assert not await tenancy.lock_exclusive(transaction, project_id=project, team_id="others")


async def key_rows(database: Database, world: World) -> None:
    key = ApiKey(
        id="key-1",
        team_id=world.team_id,
        project_id=world.project_id,
        actor_id="actor",
        name="naïve",
        prefix="cm_1",
        scopes=("memories:read", "*"),
        created_ms=NOW // 1000,
        expires_ms=NOW // 1000 + 10_000,
    )
    await keys.insert(database, key, key_hash="hash-1", now_us=NOW)
    assert await keys.find(database, "key-1") == key
    assert await keys.find_by_hashes(database, ["hash-1", "hash-2", "hash-1"]) == {"hash-1": key}

    async def listed(*, active: bool, at_us: int) -> list[str]:
        found = await keys.list_rows(
            database,
            team_id=world.team_id,
            project_id=None,
            active=active,
            before=None,
            limit=9,
            now_us=at_us,
        )
        return [row["id"] for row in found]

    assert await listed(active=True, at_us=NOW) == ["key-1"]
    mine = {"team_id": world.team_id, "project_id": world.project_id, "actor_id": "actor", "name": "naïve"}
    assert await keys.find_working(database, **mine) == [key]
    for member in mine:
        assert await keys.find_working(database, **(mine | {member: "another"})) == []
    assert await listed(active=True, at_us=NOW + 10_000_000) == []
    assert await listed(active=False, at_us=NOW + 10_000_000) == ["key-1"]
    await keys.touch(database, {"key-1": NOW + 5_000})
    await keys.touch(database, {"key-1": NOW, "absent": NOW})
    touched = await keys.find(database, "key-1")
    assert touched is not None
    assert touched.last_used_ms == NOW // 1000 + 5
    changed = await keys.set_scopes(database, "key-1", scopes=["a", "ü"], now_us=NOW)
    assert changed is not None
    assert changed.scopes == ("a", "ü")
    soon = NOW + 1_000_000
    replaced = await keys.replace(database, "key-1", replaced_by="key-2", expires_us=soon, now_us=NOW)
    assert replaced is not None
    assert (replaced.replaced_by, replaced.expires_ms) == ("key-2", soon // 1000)
    assert await keys.replace(database, "key-1", replaced_by="x", expires_us=soon, now_us=soon) is None
    revoked = await keys.revoke(database, "key-1", now_us=NOW)
    assert revoked is not None
    assert (revoked.revoked_ms, revoked.replaced_by) == (NOW // 1000, "key-2")
    assert await keys.revoke(database, "key-1", now_us=NOW) is None
    assert await keys.find_working(database, **mine) == []


async def session_rows(database: Database, world: World) -> None:
    scope = {"team_id": world.team_id, "project_id": world.project_id}
    session = new_session(world, "session-1", external="ext", content="content", platform="cursor")
    stored = await sessions.insert(database, session, key="key-1", now_us=NOW)
    assert stored is not None
    assert (stored.generation_status, stored.started_ms, stored.ended_ms) == ("idle", NOW // 1000, None)
    twin = new_session(world, "session-2", external="ext", content=None, platform="cursor")
    assert await sessions.insert(database, twin, key="key-2", now_us=NOW) is None
    same_key = new_session(world, "session-2", external=None, content=None, platform=None)
    assert await sessions.insert(database, same_key, key="key-1", now_us=NOW) is None
    newer = new_session(world, "session-2", external=None, content="content", platform=None)
    assert await sessions.insert(database, newer, key="key-2", now_us=NOW + 1) is not None
    listed = await sessions.list_rows(database, **scope, before=None, limit=9)
    assert [row["id"] for row in listed] == ["session-2", "session-1"]
    newest = Cursor(listed[0]["started_at"], "session-2")
    assert await sessions.list_rows(database, **scope, before=newest, limit=9) == listed[1:]
    assert (
        await sessions.list_rows(database, team_id=world.other_team_id, project_id=None, before=None, limit=9)
        == []
    )
    assert await sessions.find(database, "session-1", team_id=world.other_team_id) is None
    known = await sessions.find_by_ids(database, ["session-1", "absent"], team_id=world.team_id)
    assert list(known) == ["session-1"]
    assert await sessions.find_by_ids(database, ["session-1"], team_id=world.other_team_id) == {}
    assert await sessions.find_scopes(database, ["session-1", "absent"]) == {
        "session-1": (world.team_id, world.project_id)
    }
    by_external = await sessions.find_by_external(database, external_id="ext", platform="cursor", **scope)
    assert by_external == stored
    assert await sessions.find_by_external(database, external_id="ext", platform=None, **scope) is None
    assert await sessions.find_by_key(database, "key-1", **scope) == stored

    def link(*, any_platform: bool, platform: str | None) -> sessions.ContentLink:
        return sessions.ContentLink(
            **scope, content_session_id="content", any_platform=any_platform, platform=platform
        )

    wanted = [
        link(any_platform=True, platform=None),
        link(any_platform=False, platform=None),
        link(any_platform=False, platform="cursor"),
        link(any_platform=False, platform="codex"),
    ]
    found = await sessions.link(database, wanted)
    assert [found.get(item) for item in wanted] == ["session-2", "session-2", "session-1", None]
    refreshed = await sessions.refresh(
        database, "session-1", metadata=Document.of({"b": [1]}), agent_id="a", agent_type=None, now_us=NOW
    )
    assert refreshed is not None
    assert (refreshed.metadata.value, refreshed.agent_id) == ({"prompt": "hi", "b": [1]}, "a")
    await sessions.release_key(database, "session-1", now_us=NOW)
    assert await sessions.find_by_key(database, "key-1", **scope) is not None, "it is still open"
    ended = await sessions.end(database, "session-1", team_id=world.team_id, now_us=NOW + 5_000)
    again = await sessions.end(database, "session-1", team_id=world.team_id, now_us=NOW + 9_000)
    assert again == ended
    assert ended is not None
    assert ended.ended_ms == NOW // 1000 + 5
    await sessions.release_key(database, "session-1", now_us=NOW)
    assert await sessions.find_by_key(database, "key-1", **scope) is None
    await sessions.mark_generated(database, "session-1", status="completed", now_us=NOW, **scope)
    marked = await sessions.find(database, "session-1", team_id=world.team_id)
    assert marked is not None
    assert (marked.generation_status, marked.last_generated_ms) == ("completed", NOW // 1000)
