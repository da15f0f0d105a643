"""Values at their bounds come back as they went in, or are refused by name; never changed, never a lost connection."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem.model.documents import Document
from claude_mem.model.records import AuditEntry
from claude_mem.model.times import MAX_EPOCH_MS, MIN_POSTGRES_MS
from claude_mem.storage import audit, events, rows, sessions, usage
from claude_mem.storage.database import Database, ValueRefused
from tests.support.databases import Storage
from tests.support.load import World, make_world

IDS = ["ü", "a b", "x" * 500, "'; drop table agent_events; --", "🦊", "%_\\", "0", "NULL", "\u200b", "\x01"]

JSON: list[Any] = [
    {},
    [],
    "text",
    0,
    -0.5,
    2**53 + 1,
    -(2**63),
    2**63 - 1,
    1e308,
    5e-324,
    True,
    None,
    {"": {"": []}},
    {"ü🦊": "\u2028\u2029\x7f\x01"},
    {"a": [1, [2, [3, {"b": None}]]]},
    "\\u0000 is six characters",
]


async def stored(database: Database, world: World, name: str, **changes: Any) -> Any:
    await events.insert(database, [events.KeyedEvent(world.stored_event(name, **changes), f"key {name}")])
    return await events.find(database, name, team_id=world.team_id)


@pytest.mark.parametrize(
    "ms", [0, 1, -1, 253_402_300_800_000, -62_167_219_200_000, MAX_EPOCH_MS, MIN_POSTGRES_MS]
)
async def test_times_far_beyond_any_calendar(database: Database, world: World, ms: int) -> None:
    found = await stored(database, world, "event", occurred_ms=ms)
    assert found.occurred_ms == ms


async def test_a_time_that_postgres_cannot_hold_is_refused(postgres_storage: Storage) -> None:
    database = await postgres_storage.open(pool_max=1)
    world = await make_world(database)
    for ms in (-MAX_EPOCH_MS, MIN_POSTGRES_MS - 1, 2**62, 10**30):
        with pytest.raises(ValueRefused):
            await stored(database, world, "event", occurred_ms=ms)
    assert await stored(database, world, "event") is not None, "the connection is as good as before"
    await postgres_storage.close()


@pytest.mark.parametrize("value", JSON, ids=str)
async def test_json_of_any_kind(database: Database, world: World, value: Any) -> None:
    found = await stored(database, world, "event", payload=Document.of(value))
    assert found.payload.value == value
    assert type(found.payload.value) is type(value)


async def test_ids_that_are_no_uuids(database: Database, world: World) -> None:
    for name in IDS:
        found = await stored(database, world, name, source_event_id=name, event_type=name)
        assert (found.id, found.source_event_id, found.event_type) == (name, name, name)
    found = await events.find_by_keys(database, [f"key {name}" for name in IDS])
    assert {event.id for event in found.values()} == set(IDS)


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
async def test_half_a_character_is_refused_and_disturbs_nobody(
    database: Database, world: World, text: str
) -> None:
    with pytest.raises(ValueRefused) as refused:
        await stored(database, world, "event", event_type=f"secret {text}")
    assert "secret" not in str(refused.value), "what is logged of it quotes nothing"
    with pytest.raises(ValueRefused):
        await database.fetch("teams.find", id=text)
    assert await stored(database, world, "event") is not None


async def test_a_nul_is_refused_and_never_cuts_a_text(database: Database, world: World) -> None:
    with pytest.raises(ValueRefused):
        await stored(database, world, "event", event_type="a\0b")
    with pytest.raises(ValueRefused):
        await database.fetch("teams.rename", id=world.team_id, name="a\0b", now=1)
    spelled = Document.of({"text": "\\u0000"})
    assert (await stored(database, world, "event", payload=spelled)).payload == spelled


async def test_an_index_entry_that_is_too_large_is_refused_by_name(database: Database, world: World) -> None:
    """A b-tree of PostgreSQL takes 2,704 bytes; SQLite takes anything."""
    huge = "".join(chr(0x4E00 + (n * 7919) % 20_000) for n in range(60_000))
    parameters: dict[str, Any] = {
        "id": "session",
        "project_id": world.project_id,
        "team_id": world.team_id,
        "external_session_id": huge,
        "idempotency_key": None,
        "content_session_id": None,
        "agent_id": None,
        "agent_type": None,
        "platform_source": None,
        "metadata": "{}",
        "now": 1,
    }
    if database.name == "postgres":
        with pytest.raises(ValueRefused):
            await database.fetch("sessions.insert", **parameters)
    else:
        await database.fetch("sessions.insert", **parameters)
        assert await sessions.find(database, "session", team_id=world.team_id) is not None


async def test_json_nested_deeper_than_the_parser_goes_is_still_passed_on(
    database: Database, world: World
) -> None:
    deep = "[" * 3000 + "]" * 3000
    found = await stored(database, world, "event", payload=Document(deep))
    assert found.payload.text.replace(" ", "") == deep


async def test_numbers_of_usage_are_whole_and_large(database: Database, world: World) -> None:
    row = usage.UsageRow(world.team_id, None, "tokens", 2**62, 1_750_000_000_000_000, {})
    negative = usage.UsageRow(world.team_id, None, "tokens", -5, 1_750_000_000_000_000, {})
    await usage.append(database, [row, negative])
    assert await usage.totals(database, team_id=world.team_id, since_us=0) == {"tokens": 2**62}


async def test_audit_details_keep_their_types(database: Database, world: World) -> None:
    details = {"n": 1, "f": 1.5, "t": True, "z": None, "ü": ["🦊"]}
    entry = AuditEntry("a", "r", None, world.team_id, None, None, None, details)
    await audit.append(database, [entry], now_us=5)
    (row,) = await audit.list_rows(
        database,
        team_id=world.team_id,
        project_id=None,
        action=None,
        resource_id=None,
        before=None,
        limit=2,
    )
    assert rows.audit_entry(row).details == details
