"""A deployment's team, project and key: made once, however often and by how many it is asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from claude_mem.model.errors import Conflict, Forbidden, InvalidInput
from claude_mem.model.times import now_us
from claude_mem.services.authentication import Authenticator
from claude_mem.services.bootstrap import create_first_key, create_team
from claude_mem.services.keys import PREFIX_LENGTH
from claude_mem.services.provisioning import Wanted, check_key, provision
from claude_mem.storage import keys as key_rows
from claude_mem.storage import tenancy
from claude_mem.storage.database import Database
from tests.support.databases import Storage

FIRST = "cmem_" + "1" * 48
SECOND = "cmem_" + "2" * 48
SCOPES = ("memories:read", "memories:write")
WANTED = Wanted(team="platform", project="monorepo", raw_key=FIRST, scopes=SCOPES, key_name="bootstrap")


async def works(database: Database, raw: str) -> bool:
    try:
        await Authenticator(database).authenticate(raw)
    except Forbidden:
        return False
    return True


async def actions(storage: Storage) -> list[str]:
    return sorted(str(row[0]) for row in await storage.query("select action from audit_log"))


async def test_what_is_missing_is_made_and_then_stays(storage: Storage, database: Database) -> None:
    done = await provision(database, WANTED)
    assert done.created == ("team", "project", "key")
    principal = await Authenticator(database).authenticate(FIRST)
    assert (principal.team_id, principal.project_id) == (done.team.id, done.project.id)
    assert principal.scopes == frozenset(SCOPES)
    assert (done.key.name, done.key.prefix) == ("bootstrap", FIRST[:PREFIX_LENGTH])
    made = ["api_key.create", "project.create", "team.create"]
    assert await actions(storage) == made
    again = await provision(database, WANTED)
    assert (again.created, again.revoked) == ((), ())
    assert (again.team, again.project, again.key) == (done.team, done.project, done.key)
    assert await actions(storage) == made, "what changes nothing leaves no line"
    dump = str(await storage.query("select * from api_keys")) + str(
        await storage.query("select * from audit_log")
    )
    assert FIRST not in dump
    assert FIRST not in repr(WANTED)


async def test_a_team_that_is_there_keeps_its_id(database: Database) -> None:
    adopted = await create_team(database, "platform")
    done = await provision(database, WANTED)
    assert done.team.id == adopted.id
    assert done.created == ("project", "key")
    other = await provision(database, replace(WANTED, team="others", raw_key=SECOND))
    assert other.project.id != done.project.id, "a project of the same name in another team is another"


async def test_a_team_and_a_project_that_were_renamed_are_still_the_same(database: Database) -> None:
    done = await provision(database, WANTED)
    await tenancy.rename_team(database, team_id=done.team.id, name="new", now_us=now_us())
    await tenancy.update_project(
        database,
        project_id=done.project.id,
        team_id=done.team.id,
        name="renamed",
        metadata=done.project.metadata,
        now_us=now_us(),
    )
    again = await provision(database, WANTED)
    assert again.created == ()
    assert (again.team.name, again.project.name) == ("new", "renamed")


async def test_another_value_takes_the_earlier_ones_place_and_nobody_elses(
    storage: Storage, database: Database
) -> None:
    done = await provision(database, WANTED)
    theirs = await create_first_key(
        database, name="bootstrap", scopes=SCOPES, team_id=done.team.id, project_id=done.project.id
    )
    named = await provision(database, replace(WANTED, raw_key="named" + FIRST, key_name="elsewhere"))
    assert named.revoked == ()
    rotated = await provision(database, replace(WANTED, raw_key=SECOND))
    assert (rotated.created, rotated.revoked) == (("key",), (done.key.id,))
    assert not await works(database, FIRST)
    assert await works(database, SECOND)
    assert await works(database, theirs.raw), "a key that somebody made by hand is theirs"
    assert await works(database, "named" + FIRST)
    ended = await key_rows.find(database, done.key.id)
    assert ended is not None
    assert ended.replaced_by == rotated.key.id, "jobs of a replaced key go on"
    assert "api_key.rotate" in await actions(storage)


async def test_a_revoked_key_does_not_come_back(storage: Storage, database: Database) -> None:
    await provision(database, WANTED)
    await provision(database, replace(WANTED, raw_key=SECOND))
    before = await actions(storage)
    with pytest.raises(Conflict, match="was revoked") as caught:
        await provision(database, WANTED)
    assert FIRST not in caught.value.message
    assert not await works(database, FIRST)
    assert await works(database, SECOND), "what works is left working"
    assert await actions(storage) == before


async def test_an_expired_key_does_not_come_back(database: Database) -> None:
    done = await provision(database, WANTED)
    now = now_us()
    assert await key_rows.replace(
        database, done.key.id, replaced_by="", expires_us=now - 1000, now_us=now - 2000
    )
    with pytest.raises(Conflict, match="expired"):
        await provision(database, WANTED)


async def test_a_key_of_another_project_is_refused_and_nothing_is_made(
    storage: Storage, database: Database
) -> None:
    await provision(database, WANTED)
    before = await actions(storage)
    for elsewhere in (replace(WANTED, project="other"), replace(WANTED, team="other")):
        with pytest.raises(Conflict, match="another team or project"):
            await provision(database, elsewhere)
    assert await actions(storage) == before
    assert await tenancy.find_team_by_name(database, "other") is None, "all or nothing"


async def test_a_key_gets_the_scopes_that_are_asked_for(storage: Storage, database: Database) -> None:
    await provision(database, WANTED)
    narrower = await provision(database, replace(WANTED, scopes=["memories:read"]))
    assert narrower.key.scopes == ("memories:read",)
    assert narrower.created == ()
    assert "api_key.migrate_scopes" in await actions(storage)
    with pytest.raises(InvalidInput, match="unknown scope"):
        await provision(database, replace(WANTED, scopes=["everything"]))


async def test_many_at_once_make_one_of_each(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(4)]
    done = await asyncio.gather(*(provision(database, WANTED) for database in databases * 3))
    assert len({(one.team.id, one.project.id, one.key.id) for one in done}) == 1
    assert sorted(name for one in done for name in one.created) == ["key", "project", "team"]
    assert await actions(storage) == ["api_key.create", "project.create", "team.create"]


async def test_rotations_at_once_leave_one_key_that_works(storage: Storage) -> None:
    databases = [await storage.open() for _ in range(3)]
    await provision(databases[0], WANTED)
    values = [f"cmem_{number}" + "a" * 48 for number in range(6)]
    await asyncio.gather(
        *(
            provision(databases[number % 3], replace(WANTED, raw_key=value))
            for number, value in enumerate(values)
        )
    )
    assert sum([await works(databases[0], value) for value in values]) == 1
    assert not await works(databases[0], FIRST)


@pytest.mark.parametrize(
    "raw", ["", "short", "a" * 50, "a" * 50 + " ", "a" * 60 + "\n" + "a" * 60, "a" * 600, "é" * 60]
)
def test_a_value_that_is_no_key_is_refused_without_being_shown(raw: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_key(raw)
    assert not raw or raw not in caught.value.message


@pytest.mark.parametrize("raw", [FIRST, "cm_" + "0" * 48, "Zm9v" * 16 + "=="])
def test_our_own_keys_and_bearer_tokens_are_keys(raw: str) -> None:
    assert check_key(raw) == raw
