"""What is exported is imported as it was, on either storage, once, and never over or into what is another team's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from claude_mem.model.documents import EMPTY
from claude_mem.model.errors import InvalidInput, NotFound
from claude_mem.services import transfer_import
from claude_mem.services.questions import Question
from claude_mem.services.recall import RecallService
from claude_mem.services.search_index import SearchIndex
from claude_mem.storage import observations, tenancy, transfer
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.load import World, make_world
from tests.support.transfers import chunks, contents, destination, export, remember, take_in, written

WORLD = World()


@pytest.fixture
async def full(database: Database) -> Database:
    """The test's database with two teams and something to export."""
    await make_world(database)
    await remember(database, WORLD)
    return database


async def counted(storage: Storage, table: str) -> int:
    ((count,),) = await storage.query(f"SELECT count(*) FROM {table}")
    return int(count)


async def test_from_storage_to_storage_and_back_nothing_changes(
    postgres_storage: Storage, sqlite_storage: Storage, tmp_path: Path
) -> None:
    third = Storage("sqlite", sqlite_storage.settings)
    first, second = await sqlite_storage.open(), await postgres_storage.open()
    try:
        await make_world(first)
        await remember(first, WORLD)
        told = await export(first, WORLD.team_id)
        await tenancy.create_team(second, team_id=WORLD.team_id, name="t", metadata=EMPTY, now_us=1)
        result = await take_in(second, told, team_id=WORLD.team_id)
        assert (result.bad_lines, result.outcome.unlinked, result.complete) == (0, 0, True)
        assert result.outcome.stored == {"projects": 2, "sessions": 2, "events": 3, "observations": 4}
        again = await export(second, WORLD.team_id)
        # Projects of one moment come in the order of ids, made anew in that of the file.
        assert sorted(contents(again), key=str) == sorted(contents(told), key=str)
        await sqlite_storage.query("DELETE FROM teams")
        await tenancy.create_team(first, team_id=WORLD.team_id, name="t", metadata=EMPTY, now_us=1)
        await take_in(first, again, team_id=WORLD.team_id)
        back = await export(first, WORLD.team_id)
        assert sorted(contents(back), key=str) == sorted(contents(told), key=str)
    finally:
        for storage in (sqlite_storage, postgres_storage, third):
            await storage.close()


async def test_an_export_names_no_key_and_no_actor(full: Database) -> None:
    text = str(await export(full, WORLD.team_id))
    assert "api_key" not in text
    assert "actor" not in text


async def test_importing_again_adds_nothing(full: Database, storage: Storage) -> None:
    told = await export(full, WORLD.team_id)
    result = await take_in(full, told, team_id=WORLD.team_id)
    assert not result.outcome.stored
    assert result.outcome.duplicates == {"projects": 2, "sessions": 2, "events": 3, "observations": 4}
    assert await counted(storage, "observation_generation_jobs") == 0, "nothing is generated from it"
    assert await counted(storage, "observation_sources") == 4


async def test_another_teams_rows_are_neither_changed_nor_linked(full: Database, storage: Storage) -> None:
    """The ids of the file are those of team one's rows; team two gets rows of its own, and the same ones each time."""
    before = contents(await export(full, WORLD.team_id))
    file = await export(full, WORLD.team_id, project_id=WORLD.project_id)
    forged = [
        {**line, "content": "FORGED", "metadata": {}, "payload": "FORGED"} if "id" in line else line
        for line in file
    ]
    for expected in (3, 0):
        result = await take_in(full, forged, team_id=WORLD.other_team_id, project_id=WORLD.other_project_id)
        assert result.outcome.stored["observations"] == expected
        assert (result.bad_lines, result.outcome.unlinked) == (0, 0)
    assert contents(await export(full, WORLD.team_id)) == before
    theirs = await export(full, WORLD.other_team_id)
    ids = {line["id"] for line in before if "id" in line}
    assert not ids & {line["id"] for line in theirs if "id" in line}
    named = {line.get("serverSessionId") for line in theirs} - {None}
    assert named == {line["id"] for line in theirs if line["type"] == "session"} & named
    keys = "SELECT count(*), count(DISTINCT idempotency_key) FROM agent_events"
    assert await storage.query(keys) == [(6, 6)]


async def test_a_key_in_a_file_is_never_taken_from_it(full: Database, storage: Storage) -> None:
    """A key of a row that another team may have one day would swallow that row."""
    file = await export(full, WORLD.team_id, project_id=WORLD.project_id)
    for line in file:
        if line["type"] == "event":
            line["idempotencyKey"] = "agent_event:v1:" + "0" * 64
    await take_in(full, file, team_id=WORLD.other_team_id, project_id=WORLD.other_project_id)
    found = await storage.query("SELECT idempotency_key FROM agent_events WHERE team_id = 'others'")
    assert len(found) == 3
    assert all(key.startswith("agent_event:import:v1:") for (key,) in found)


async def test_references_to_another_teams_rows_are_dropped(full: Database) -> None:
    line = {
        "type": "observation",
        "id": "mine",
        "projectId": WORLD.other_project_id,
        "serverSessionId": "session-0",
        "kind": "manual",
        "content": "c",
        "createdAtUs": 1,
        "updatedAtUs": 1,
        "sources": [{"type": "agent_event", "id": "event-0", "createdAtUs": 1}],
    }
    header = (await export(full, WORLD.team_id))[0]
    result = await take_in(full, [header, line], team_id=WORLD.other_team_id)
    assert result.outcome.unlinked == 2
    stored = await observations.find(full, "mine", team_id=WORLD.other_team_id)
    assert stored is not None
    assert stored.server_session_id is None
    strange = {**line, "id": "other", "projectId": WORLD.project_id}
    refused = await take_in(full, [header, strange], team_id=WORLD.other_team_id)
    assert [one.number for one in refused.refused] == [2]
    assert await observations.find(full, "other", team_id=WORLD.other_team_id) is None


async def test_what_a_hook_sent_again_meanwhile_is_linked_to(full: Database) -> None:
    """The conversation and its event are in the project already, under ids of their own."""
    file = await export(full, WORLD.team_id, project_id=WORLD.project_id)
    await take_in(full, file[:5], team_id=WORLD.team_id, project_id=WORLD.sibling_id)
    renamed = [
        {**line, "id": f"new-{line['id']}"} if line["type"] in {"session", "event"} else line for line in file
    ]
    for line in renamed:
        if line.get("serverSessionId"):
            line["serverSessionId"] = f"new-{line['serverSessionId']}"
        for source in line.get("sources", []):
            source["id"] = f"new-{source['id']}"
    result = await take_in(full, renamed, team_id=WORLD.team_id, project_id=WORLD.sibling_id)
    assert result.outcome.unlinked == 0
    assert result.outcome.duplicates["sessions"] == 2


async def test_bad_lines_are_named_and_the_others_kept(full: Database) -> None:
    file: list[Any] = await export(full, WORLD.team_id, project_id=WORLD.project_id)
    file[2:2] = [b"{not json\n", b"\n", {"type": "session", "id": ""}, {"type": "x"}, b'{"a":"\\u0000"}\n']
    file += [b"[]\n", b'{"type":"event","payload":1']
    result = await take_in(full, file, team_id=WORLD.other_team_id, project_id=WORLD.other_project_id)
    assert [one.number for one in result.refused] == [3, 5, 6, 7, len(file) - 1, len(file)]
    assert result.outcome.stored["observations"] == 3
    assert "not json" not in str(result.refused), "a line's text is not told"


@pytest.mark.parametrize("named", ["external_session_id", "content_session_id"])
async def test_a_session_whose_names_fit_no_entry_of_an_index_is_named(full: Database, named: str) -> None:
    file: list[Any] = await export(full, WORLD.team_id, project_id=WORLD.project_id)
    first, second = (line for line in file if line["type"] == "session")
    fits, too_long = "\U00020000" * 256 + "x" * 256, "\U00020000" * 512
    first[to_camel(named)], first["platformSource"] = fits, "y" * 512
    second[to_camel(named)], second["platformSource"] = too_long, "\U00020000" * 256
    result = await take_in(full, file, team_id=WORLD.other_team_id, project_id=WORLD.other_project_id)
    (refused,) = result.refused
    assert refused.number == file.index(second) + 1
    assert refused.message == f"{to_camel(named)} and platformSource are longer than 2048 bytes together"
    assert result.outcome.stored["sessions"] == 1


async def test_all_or_nothing(full: Database) -> None:
    file: list[Any] = await export(full, WORLD.team_id, project_id=WORLD.project_id)
    to: dict[str, Any] = {"team_id": WORLD.other_team_id, "project_id": WORLD.other_project_id}
    with pytest.raises(InvalidInput) as refused:
        await take_in(full, [*file, b"{\n"], strict=True, **to)
    assert [issue.path for issue in refused.value.issues] == [("lines", len(file) + 1)]
    assert len(contents(await export(full, WORLD.other_team_id))) == 2
    whole = await take_in(full, file, strict=True, **to)
    assert whole.outcome.stored["observations"] == 3


async def test_a_dry_run_says_the_same_and_changes_nothing(full: Database) -> None:
    file = await export(full, WORLD.team_id)
    tried = await take_in(full, file, team_id=WORLD.other_team_id, dry_run=True)
    assert len(contents(await export(full, WORLD.other_team_id))) == 2
    done = await take_in(full, file, team_id=WORLD.other_team_id)
    assert tried.outcome.stored == done.outcome.stored
    assert done.outcome.stored == {"projects": 2, "sessions": 2, "events": 3, "observations": 4}


async def test_an_import_that_breaks_off_goes_on_when_it_is_sent_again(
    full: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer_import, "BATCH_LINES", 2)
    file = await export(full, WORLD.team_id)
    data = written(file)

    async def broken() -> AsyncIterator[bytes]:
        async for chunk in chunks(data[: len(data) * 2 // 3], size=100):
            yield chunk
        raise ConnectionResetError

    importer = transfer_import.Importer(full, destination(WORLD.other_team_id))
    with pytest.raises(ConnectionResetError):
        await importer.run(broken())
    some = len(contents(await export(full, WORLD.other_team_id)))
    assert 2 < some < 11
    rest = await take_in(full, file, team_id=WORLD.other_team_id)
    assert rest.outcome.duplicates
    assert rest.outcome.stored
    assert rest.outcome.unlinked == 0
    assert len(contents(await export(full, WORLD.other_team_id))) == 13


async def test_an_export_goes_on_from_any_checkpoint(full: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAGE_ROWS", 2)
    whole = await export(full, WORLD.team_id)
    at = [number for number, line in enumerate(whole) if line["type"] == "checkpoint"]
    assert len(at) > 6
    for number in at:
        rest = await export(full, WORLD.team_id, cursor=whole[number]["cursor"])
        assert whole[: number + 1] + rest == whole
    with pytest.raises(NotFound):
        await export(full, WORLD.team_id, project_id=WORLD.sibling_id, cursor=whole[at[0]]["cursor"])
    foreign = await export(full, WORLD.other_team_id, cursor=whole[at[0]]["cursor"])
    assert "relay" not in str(foreign)
    with pytest.raises(InvalidInput, match="checkpoint"):
        await export(full, WORLD.team_id, cursor="AAAA")


async def test_a_page_of_large_texts_is_short(full: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PAGE_CHARACTERS", 10)
    whole = await export(full, WORLD.team_id)
    places = [line["type"] for line in whole]
    assert [places[number + 1] for number, kind in enumerate(places) if kind == "event"] == ["checkpoint"] * 3


async def test_what_is_private_is_taken_out_and_what_is_found_is_searched(full: Database) -> None:
    header = (await export(full, WORLD.team_id))[0]
    about = {"projectId": WORLD.other_project_id, "createdAtUs": 5, "updatedAtUs": 5}
    line = {
        **about,
        "type": "observation",
        "id": "m",
        "kind": "manual",
        "content": "The <private>xyzzy</private> gateway",
        "metadata": {"title": "<private>xyzzy</private>"},
    }
    empty = {**line, "id": "n", "content": "<private>all</private>"}
    result = await take_in(full, [header, line, empty], team_id=WORLD.other_team_id)
    assert result.outcome.redactions == 2
    assert [one.number for one in result.refused] == [3]
    assert "xyzzy" not in str(await export(full, WORLD.other_team_id))
    recall = RecallService(full, SearchIndex(full))
    caller = WORLD.caller_of(WORLD.other_team_id)
    page = await recall.find(caller, Question(WORLD.other_project_id, "gateway", 5))
    assert [hit.observation.id for hit in page.hits] == ["m"]


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (b"", "empty"),
        (b"{", "not the header"),
        ({"type": "project", "id": "p", "name": "n"}, "not the header"),
        ({"type": "header", "format": "claude-mem-export", "version": 2}, "version 2"),
    ],
)
async def test_what_is_no_export_is_refused(full: Database, first: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        await take_in(full, [first], team_id=WORLD.team_id)
