"""A local claude-mem's database is imported by client and server: projects, times, links, once."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from claude_mem.cli.main import application
from claude_mem.client import local_import
from tests.support.http import Server, Tenant
from tests.support.local_claude_mem import SECRET, START, make_local_database

COUNTS = {
    "api": {"sessions": 2, "prompts": 4, "observations": 5, "summaries": 2},
    "site": {"sessions": 1, "prompts": 2, "observations": 3, "summaries": 1},
}


class CommandLine:
    """`claude-mem import local` with a tenant's key, and `claude-mem server import-local` on the server's database."""

    def __init__(self, api: Server, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
        monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", api.url)
        monkeypatch.setenv("CLAUDE_MEM_SERVER_API_KEY", key)
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)

    def json(self, *arguments: str, expect: int = 0) -> Any:
        result = CliRunner().invoke(application(), [*arguments, "--json"])
        assert result.exit_code == expect, (result.stdout, result.stderr, result.exception)
        return json.loads(result.stdout) if expect == 0 else result.stderr


@pytest.fixture
def cli(api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(api, monkeypatch, tenant.full)


@pytest.mark.parametrize("early", [False, True])
def test_what_is_local_becomes_the_teams(
    api: Server, tenant: Tenant, cli: CommandLine, tmp_path: Path, early: bool
) -> None:
    file = str(make_local_database(tmp_path / "claude-mem.db", early=early))
    tried = cli.json("import", "local", file, "--dry-run")
    assert early or tried == {"dryRun": True, "projects": COUNTS, "skipped": 2}
    assert len(api.ok("GET", "/v1/projects", tenant.full)["projects"]) == 2
    done = cli.json("import", "local", file)
    memories = 10 if early else 11
    assert done["imported"] == {"projects": 2, "sessions": 3, "events": 6, "observations": memories}
    assert done["refused"] == []
    projects = {one["name"]: one["id"] for one in api.ok("GET", "/v1/projects", tenant.full)["projects"]}
    listed = api.ok("GET", f"/v1/memories?limit=200&projectId={projects['api']}", tenant.full)["memories"]
    first = next(one for one in listed if one["metadata"].get("title") == "Relay finding 0")
    assert first["createdAtEpoch"] == START
    assert first["metadata"]["files_read"] == ["src/relay.ts"]
    assert first["content"].startswith("Relay finding 0\n\nThe outbox relay")
    assert SECRET not in api.call("GET", "/v1/export", tenant.full).text
    session = api.ok("GET", f"/v1/sessions/{first['serverSessionId']}", tenant.full)["session"]
    assert (session["contentSessionId"], session["startedAtEpoch"]) == ("content-0", START)
    assert api.ok("GET", "/v1/jobs", tenant.full)["jobs"] == []
    question = {"projectId": projects["api"], "query": "outbox relay"}
    assert api.ok("POST", "/v1/search", tenant.full, question)["observations"]
    again = cli.json("import", "local", file)
    assert not any(again["imported"].values())


@pytest.mark.parametrize("early", [False, True])
def test_memories_and_prompts_come_over_whole(
    api: Server, tenant: Tenant, cli: CommandLine, tmp_path: Path, early: bool
) -> None:
    cli.json("import", "local", str(make_local_database(tmp_path / "claude-mem.db", early=early)))
    lines = [json.loads(line) for line in api.call("GET", "/v1/export", tenant.full).text.splitlines()]
    [session] = [one for one in lines if one["type"] == "session" and one["contentSessionId"] == "content-1"]
    of_session = [one for one in lines if one.get("serverSessionId") == session["id"]]
    at = START + 1_000_000
    prompts = [one for one in of_session if one["type"] == "event"]
    assert [
        (
            one["eventType"],
            one["payload"],
            one["contentSessionId"],
            one["platformSource"],
            one["occurredAtUs"],
        )
        for one in sorted(prompts, key=lambda one: one["payload"]["promptNumber"])
    ] == [
        ("user_prompt", {"prompt": f"Do {number} ", "promptNumber": number}, "content-1", "claude", us)
        for number, us in ((1, _stored(at + 1, early)), (2, _stored(at + 2, early)))
    ]
    [summary] = [one for one in of_session if one.get("kind") == "summary"]
    assert summary["content"] == "Request: Mend the relay\n\nLearned: It polls, 1\n\nNext steps: Measure"
    assert summary["metadata"] == {
        "request": "Mend the relay",
        "learned": "It polls, 1",
        "next_steps": "Measure",
        "files_edited": ["relay.py"],
        "provider": "claude-mem-local",
    }
    assert summary["createdAtUs"] == _stored(at + 9, early)
    [source] = summary["sources"]
    assert (source["type"], source["id"]) == ("session_summary", session["id"])
    [first] = [one for one in of_session if one.get("metadata", {}).get("title") == "Relay finding 10"]
    assert first["kind"] == "discovery"
    assert first["metadata"] == {
        "ticket": 10,
        "title": "Relay finding 10",
        "narrative": "The outbox relay  wakes",
        "facts": ["fact 10", "another"],
        "concepts": ["how-it-works"],
        "files_read": ["src/relay.ts"],
        "provider": "claude-mem-local",
        "model": "claude-x",
    }


def _stored(milliseconds: int, early: bool) -> int:
    """In microseconds; the first versions kept seconds."""
    return milliseconds // 1000 * 1_000_000 if early else milliseconds * 1000


def test_a_hook_finds_the_session_that_was_imported(
    api: Server, tenant: Tenant, cli: CommandLine, tmp_path: Path
) -> None:
    file = str(make_local_database(tmp_path / "claude-mem.db"))
    cli.json("import", "local", file, "--project-id", tenant.project)
    start = {
        "projectId": tenant.project,
        "externalSessionId": "content-1",
        "contentSessionId": "content-1",
        "platformSource": "claude-code",
    }
    found = api.ok("POST", "/v1/sessions/start", tenant.full, start)["session"]
    assert found["startedAtEpoch"] == START + 1_000_000


def test_the_server_imports_a_file_as_the_client_does(
    api: Server, tenant: Tenant, cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_import, "REQUEST_BYTES", 100)
    file = str(make_local_database(tmp_path / "claude-mem.db"))
    to = ["--team", tenant.team]
    assert cli.json("server", "import-local", file, "--dry-run", *to)["projects"] == COUNTS
    done = cli.json("server", "import-local", file, "--only", "site", *to)
    assert done["imported"] == {"projects": 1, "sessions": 1, "events": 2, "observations": 4}
    whole = cli.json("import", "local", file)
    assert whole["imported"]["sessions"] == 2, "in requests of a session each"
    assert whole["duplicates"]["observations"] == 4
    assert not any(cli.json("server", "import-local", file, *to)["imported"].values())


def test_what_is_no_local_database_is_refused(cli: CommandLine, tmp_path: Path) -> None:
    text = tmp_path / "notes.db"
    text.write_text("notes " * 1000)
    assert "is no database" in cli.json("import", "local", str(text), expect=1)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE notes (id INTEGER)")
    assert "no tables" in cli.json("import", "local", str(tmp_path / "other.db"), expect=1)
    assert "there is no" in cli.json("import", "local", str(tmp_path / "absent.db"), expect=1)
