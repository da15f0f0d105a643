"""What the tests of exports and imports share: something to export, and one line of code for each direction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

import orjson

from claude_mem.model.documents import EMPTY, Document
from claude_mem.model.identity import event_key, session_key
from claude_mem.model.records import AuditEntry, Observation, ObservationSource, Session
from claude_mem.services.bootstrap import cli_entry
from claude_mem.services.transfer_export import Exporter
from claude_mem.services.transfer_import import Destination, Imported, Importer
from claude_mem.storage import events, sessions, work
from claude_mem.storage.database import Database
from tests.support.load import World

NOW = 1_750_000_000_123_456


async def remember(database: Database, world: World, *, count: int = 3) -> None:
    """Two sessions with events, observations of them and a summary in the first project; one memory in the second."""
    scope: dict[str, Any] = {"team_id": world.team_id, "project_id": world.project_id}
    for number in range(2):
        ids: dict[str, Any] = {
            "external_session_id": f"conversation-{number}",
            "content_session_id": f"content-{number}",
            "agent_id": None,
            "agent_type": None,
        }
        session = Session(
            id=f"session-{number}",
            platform_source="cursor",
            generation_status="idle",
            metadata=Document.of({"prompt": "Warum?", "n": [1, {"ü": None}]}),
            started_ms=0,
            ended_ms=None,
            last_generated_ms=None,
            created_ms=0,
            updated_ms=0,
            **scope,
            **ids,
        )
        key = session_key(platform="cursor", **scope, **ids)
        assert await sessions.insert(database, session, key=key, now_us=NOW + number) is not None
    await sessions.end(database, "session-0", team_id=world.team_id, now_us=NOW + 7)
    for number in range(count):
        await _event(database, world, number)
    await _observations(database, world, count)


async def _event(database: Database, world: World, number: int) -> None:
    payload = {"tool_name": "Edit", "n": number, "text": "naïve\n" * 3}
    event = world.stored_event(
        f"event-{number}",
        occurred_ms=1_750_000_000_000 + number // 2,
        server_session_id="session-0",
        platform_source="cursor",
        payload=Document.of(payload),
    )
    key = event_key(
        team_id=world.team_id,
        project_id=world.project_id,
        adapter="hook",
        platform="cursor",
        source_event_id=None,
        content_session_id="content-0",
        server_session_id="session-0",
        event_type="tool_use",
        occurred_at_ms=event.occurred_ms,
        payload_canonical=orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode(),
    )
    await events.insert(database, [events.KeyedEvent(event, key)])


async def _observations(database: Database, world: World, count: int) -> None:
    made = [
        Observation(
            id=f"memory-{number}",
            project_id=world.project_id,
            team_id=world.team_id,
            server_session_id="session-0",
            kind="discovery",
            content=f"The relay polls once a second, number {number}",
            metadata=Document.of({"title": f"relay {number}", "facts": ["a", "b"]}),
            created_ms=1_750_000_000_000 + number,
            updated_ms=0,
            generation_key=f"g-{number}",
        )
        for number in range(count)
    ]
    await work.insert_observations(database, made, now_us=NOW)
    sources = [
        ObservationSource(f"source-{number}", f"memory-{number}", "agent_event", f"event-{number}", None, 5)
        for number in range(count)
    ]
    sources.append(ObservationSource("source-s", "memory-0", "session_summary", "session-0", None, 6))
    about = Document.of({"provider": "p", "api_key_id": "key-id", "actor_id": "actor"})
    await work.insert_sources(database, [(source, about) for source in sources], now_us=NOW)
    elsewhere = Observation(
        id="memory-sibling",
        project_id=world.sibling_id,
        team_id=world.team_id,
        server_session_id=None,
        kind="manual",
        content="A sibling's own",
        metadata=EMPTY,
        created_ms=1_750_000_000_000,
        updated_ms=0,
        generation_key="g-s",
    )
    await work.insert_observations(database, [elsewhere], now_us=NOW)


async def export(
    database: Database, team_id: str, *, project_id: str | None = None, cursor: str | None = None
) -> list[dict[str, Any]]:
    """The lines of an export."""
    entry = cli_entry("team.exported", team_id, team_id=team_id, project_id=project_id)
    pages = await Exporter(database, team_id, project_id).begin(entry, cursor=cursor)
    return [orjson.loads(line) for page in [page async for page in pages] for line in page.splitlines()]


def written(lines: Iterable[Any]) -> bytes:
    """Lines as a file has them."""
    return b"".join(line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines)


async def chunks(data: bytes, *, size: int = 7000) -> AsyncIterator[bytes]:
    """A file in pieces that end anywhere."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def take_in(
    database: Database,
    lines: Iterable[Any],
    *,
    team_id: str,
    project_id: str | None = None,
    strict: bool = False,
    dry_run: bool = False,
) -> Imported:
    """Import lines."""
    importer = Importer(database, destination(team_id, project_id), strict=strict, dry_run=dry_run)
    return await importer.run(chunks(written(lines)))


def destination(team_id: str, project_id: str | None = None) -> Destination:
    """Where somebody at the command line imports to."""

    def entry(action: str, project: str, details: dict[str, object]) -> AuditEntry:
        return cli_entry(action, project, team_id=team_id, project_id=project, **details)

    return Destination(team_id, project_id, entry)


def contents(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What an export says of rows, without its header and checkpoints."""
    return [line for line in lines if line["type"] not in {"header", "checkpoint"}]
