"""What statements promise of memories, of where they came from, and of the index of their words, on whichever storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.records import AuditEntry, ObservationSource
from claude_mem.storage import (
    audit,
    events,
    jobs,
    observations,
    origins,
    rows,
    search,
    search_changes,
    sessions,
    timeline,
    usage,
    work,
)
from claude_mem.storage.cursors import Cursor
from claude_mem.storage.database import Database
from tests.support.load import World
from tests.support.rows import NOW, new_observation


async def brief_rows(database: Database, world: World) -> None:
    """Events of a timeline come in both directions from a position, with what their payloads say."""
    project = timeline.Stretch(world.team_id, world.sibling_id)
    elsewhere = timeline.Stretch(world.other_team_id, world.sibling_id)
    payloads: list[Any] = [
        {"tool_name": "Bash", "tool_input": {"command": "make"}},
        {"prompt": "Why?"},
        [1],
        "text",
        None,
    ]
    for number, payload in enumerate(payloads, start=1):
        brief = replace(
            world.stored_event(f"brief-{number}", occurred_ms=10**6 + number),
            project_id=world.sibling_id,
            payload=Document.of(payload),
        )
        await events.insert(database, [events.KeyedEvent(brief, f"brief-{number}")])
    start = Cursor(10**9, "")
    found = await timeline.events_after(database, project, start, limit=9)
    assert [row["id"] for row in found] == [f"brief-{number}" for number in range(1, 6)]
    assert [(row["tool"], row["object"], row["prompt"]) for row in found] == [
        ("Bash", "make", None),
        (None, None, "Why?"),
        *[(None, None, None)] * 3,
    ]
    end = Cursor(found[-1]["occurred_at"], "brief-5")
    back = await timeline.events_before(database, project, end, limit=4)
    assert [row["id"] for row in back] == [f"brief-{number}" for number in range(4, 0, -1)]
    assert await timeline.events_after(database, elsewhere, start, limit=9) == []
    assert await timeline.events_before(database, elsewhere, end, limit=9) == []
    assert await timeline.find_observation(database, "absent", team_id=world.team_id) is None


async def origin_rows(database: Database, world: World) -> None:
    """What led to a memory shows within its team and project, and nothing does of one that has no sources."""
    memory = new_observation(world, "of-calls", "Caches lie", key="generation-9", job="job-event-1")
    await work.insert_observations(database, [memory], now_us=NOW)
    for number in range(2):
        kind, job = ("agent_event", "job-event-1") if number else ("manual", None)
        link = ObservationSource(f"of-{number}", "of-calls", kind, f"event-{number}", job, NOW // 1000)
        await work.insert_sources(database, [(link, Document.of({"callId": "call-9"}))], now_us=NOW)
    call = usage.UsageRow(
        id="call-9",
        team_id=world.team_id,
        project_id=world.project_id,
        kind="tokens",
        quantity=70,
        at_us=NOW,
        metadata={"model": "m", "inputTokens": 50},
    )
    await usage.append(database, [call, replace(call, id="another")])
    made = origins.Made("of-calls", world.team_id, world.project_id)
    sources = await origins.sources(database, made, limit=9)
    assert [(one.id, one.generation_job_id) for one in sources] == [("of-1", "job-event-1"), ("of-0", None)]
    assert [row["id"] for row in await origins.events(database, made, limit=9)] == ["event-1"]
    assert [job.id for job in await origins.jobs(database, made, limit=9)] == ["job-event-1"]
    assert await origins.calls(database, made, limit=9) == [call]
    for elsewhere in (replace(made, team_id=world.other_team_id), replace(made, project_id=world.sibling_id)):
        assert await origins.events(database, elsewhere, limit=9) == []
        assert await origins.jobs(database, elsewhere, limit=9) == []
    assert await origins.calls(database, replace(made, team_id=world.other_team_id), limit=9) == []
    assert await origins.sources(database, replace(made, observation_id="absent"), limit=9) == []
    await observations.delete(database, "of-calls", team_id=world.team_id, project_id=None)


async def observation_rows(database: Database, world: World) -> None:
    scope = {"team_id": world.team_id, "project_id": world.project_id}
    memory = new_observation(world, "memory-1", "Deploy with blue-green servers")
    await observations.insert(database, memory)
    assert await observations.find(database, "memory-1", team_id=world.team_id) == memory
    asked = ["memory-1", "absent"]
    by_id = await observations.find_slice(database, asked, team_id=world.team_id)
    assert by_id == ({"memory-1": memory}, [])
    assert await observations.find_slice(database, asked, team_id=world.other_team_id) == ({}, [])
    made = new_observation(world, "memory-2", "Retries swallow errors", key="generation-1", job="job-event-1")
    assert await work.insert_observations(database, [made], now_us=NOW) == {"generation-1": "memory-2"}
    twin = new_observation(world, "memory-3", "Retries swallow errors", key="generation-1", job="job-event-1")
    assert await work.insert_observations(database, [twin], now_us=NOW) == {"generation-1": "memory-2"}
    source = ObservationSource("s-1", "memory-2", "agent_event", "event-1", "job-event-1", NOW // 1000)
    for _ in range(2):
        await work.insert_sources(database, [(source, EMPTY)], now_us=NOW)
    ((found, link),) = await observations.of_event(database, "event-1", **scope)
    assert (found.id, link) == ("memory-2", source)
    assert await work.origins(database, ["memory-1", "memory-2"]) == {"memory-2": ["event-1"]}

    async def listed(**filters: Any) -> list[str]:
        wanted: dict[str, Any] = {"kind": None, "session_id": None, "before": None, "limit": 9}
        found = await observations.list_rows(database, **(scope | wanted | filters))
        return [row["id"] for row in found]

    assert await listed() == ["memory-2", "memory-1"]
    assert await listed(before=Cursor(NOW, "memory-2")) == ["memory-1"]
    project = timeline.Stretch(**scope)
    behind = await timeline.observations_after(database, project, Cursor(NOW, "memory-1"), limit=9)
    assert [row["id"] for row in behind] == ["memory-2"]
    before = await timeline.observations_before(database, project, Cursor(NOW, "memory-2"), limit=9)
    assert [row["id"] for row in before] == ["memory-1"]
    assert await listed(kind="absent") == await listed(session_id="absent") == []
    async with database.transaction() as transaction:
        assert await observations.find_to_update(transaction, "memory-1", team_id=world.team_id) == memory
        changed = await observations.update(
            transaction,
            "memory-1",
            team_id=world.team_id,
            content="Deploy canaries",
            kind="decision",
            metadata=Document.of({"a": None}),
            now_us=NOW,
        )
    assert changed is not None
    assert (changed.content, changed.kind, changed.metadata.value) == (
        "Deploy canaries",
        "decision",
        {"a": None},
    )
    gone = await observations.delete(database, "memory-1", team_id=world.team_id, project_id=world.sibling_id)
    assert gone is None
    assert await observations.delete(database, "memory-1", team_id=world.team_id, project_id=None) is not None


#: Changes of the memories that `observation_rows` stores, in their order.
NOTED = [("memory-1", "I"), ("memory-2", "I"), ("memory-1", "U"), ("memory-1", "D")]


async def noted_rows(database: Database, world: World) -> None:
    project = world.project_id
    assert await search_changes.waiting(database) == [search_changes.Waiting(project, 4, 4)]
    state = await search.state(database, project)
    assert state.segments == ()
    noted = [(change.observation_id, change.operation) for change in state.changes]
    assert noted == NOTED
    assert state.complete
    some = await search.state(database, project, most=2)
    assert (some.changes, some.complete) == (state.changes[:2], False)
    assert await search_changes.rewritten(database, project, limit=9) == {"memory-1"}
    numbers = [change.number for change in state.changes]

    async def matching(*words: str, prefixes: Sequence[str] = (), at: int | None = None) -> bool:
        until = None if at is None else at + 1
        found = await search_changes.matching_changes(
            database, project, words=words, prefixes=prefixes, since_us=at, until_us=until, limit=9
        )
        assert found in ([], [search_changes.Candidate("memory-2", numbers[1])])
        return bool(found)

    assert await matching("retries", "the", "retri")
    assert not await matching("the'", "zebra", prefixes=["'zeb\\ra' | retri", "&!"])
    assert await matching(prefixes=["swallo"])
    assert await matching(at=NOW)
    assert not await matching(at=NOW + 1)
    ids = ["memory-1", "memory-2"]
    (document,), left = await search_changes.documents(database, project, ids, most_bytes=9)
    assert (document["id"], document["content"], left) == ("memory-2", "Retries swallow errors", [])
    assert document["updated_at"] == NOW


async def search_rows(database: Database, world: World) -> None:
    project = world.project_id

    async def passing(**filters: Any) -> list[str]:
        scope = {"team_id": world.team_id, "project_id": project}
        wanted = search.Filters(**filters)
        found, left = await search.found_slice(database, ["memory-2", "x"], **scope, filters=wanted)
        assert not left
        return list(found)

    everything = {"platform": "cursor", "kinds": ["x", "manual"], "since_us": NOW, "until_us": NOW + 1}
    assert await passing() == await passing(**everything) == ["memory-2"], "its event came from there"
    refusals: tuple[dict[str, Any], ...] = (
        {"platform": "codex"},
        {"kinds": []},
        {"since_us": NOW + 1},
        {"until_us": NOW},
    )
    for refused in refusals:
        assert await passing(**refused) == []
    assert await passing(session_id="session-1") == []

    packed = {"ids": b"ab", "lengths": b"\0" * 8, "times": b"\1" * 32}
    async with database.transaction() as transaction:
        assert await search.lock(transaction, project)
        assert await search.lock_project(transaction, project)
        assert not await search.lock_project(transaction, "absent")
        taken, more = await search_changes.take_changes(transaction, project, limit=3, most_bytes=1000)
        assert [(change.observation_id, change.operation) for change in taken] == NOTED[:3]
        assert more
        pieces = [("", b"\0first"), ("migration", b"second"), ("中", b"third")]
        for segment in (7, 8):
            kept: dict[str, Any] = {"segment_id": segment, "packed": packed, "size": 2, "pieces": pieces}
            await search.insert_segment(transaction, project, **kept)
    seven, eight = (await search.state(database, project)).segments
    assert (seven, eight.id) == (search.SegmentState(7, documents=2, revision=0, deleted=0), 8)
    assert await search.columns(database, [7, 9]) == {7: packed}
    wanted = [(7, "a"), (7, "migration"), (8, "zebra"), (8, "中文"), (9, "a")]
    assert await search.blocks(database, wanted) == {
        (7, "a"): b"\0first",
        (7, "migration"): b"second",
        (8, "zebra"): b"second",
        (8, "中文"): b"third",
    }
    found = await search.prefix_blocks(database, [7, 9], prefix="m", limit=9)
    assert found == [(7, b"\0first"), (7, b"second")]
    found = await search.prefix_blocks(database, [7, 8], prefix="m", limit=1)
    assert found == [(7, b"\0first"), (8, b"\0first")], "of each segment"
    assert await search.block_bytes(database, [7, 9]) == {7: 17}
    assert await search.all_blocks(database, 8) == [b"\0first", b"second", b"third"]
    assert await search.delete_from_segment(database, seven, b"\1\0")
    assert not await search.delete_from_segment(database, seven, b"\0\0"), "it knows of no deletion"
    assert await search.deletions(database, [7]) == {(7, 1): b"\1\0"}
    assert (await search.state(database, project)).segments[0] == search.SegmentState(7, 2, 1, 1)
    assert not await search.drop_segments(database, [seven])
    assert await search.drop_segments(database, [eight])
    assert await search.all_blocks(database, 8) == []
    await search_changes.sweep(database)


async def purged_rows(database: Database, world: World) -> None:
    scope: dict[str, Any] = {"team_id": world.team_id, "project_id": world.project_id}
    assert await observations.purge(database, **scope) == 1
    assert await jobs.purge(database, **scope) == 8
    assert await events.purge(database, **scope) == 8
    assert await sessions.purge(database, **scope) == 3
    assert await jobs.history(database, "job-event-1") == []
    asked = AuditEntry(
        action="observation.read",
        resource_type="observation",
        resource_id=None,
        actor_id=None,
        api_key_id=None,
        details={"mode": "search", "query": "what?"},
        **scope,
    )
    elsewhere = replace(asked, project_id=world.sibling_id)
    await audit.append(database, [asked, elsewhere], now_us=NOW)
    assert await audit.clear_queries(database, **scope) == 1
    assert await audit.clear_queries(database, **scope) == 0
    listed: dict[str, Any] = {"action": None, "resource_id": None, "before": None, "limit": 9}
    (kept,) = await audit.list_rows(database, team_id=world.team_id, project_id=world.sibling_id, **listed)
    assert rows.audit_entry(kept).details == asked.details
    lines = await audit.list_rows(database, **scope, **listed)
    assert {"mode": "search", "queryCleared": True} in [rows.audit_entry(line).details for line in lines]
