"""Exports and imports at the command line: files that were cut short, other databases, and what is refused."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from claude_mem.cli.main import application
from tests.support.http import Server, Tenant


def run(*arguments: str, expect: int = 0, given: bytes | None = None) -> Result:
    result = CliRunner().invoke(application(), ["server", *arguments], input=given)
    assert result.exit_code == expect, (result.exit_code, result.stdout, result.stderr, result.exception)
    return result


@pytest.fixture
def tenant(api: Server, monkeypatch: pytest.MonkeyPatch) -> Tenant:
    """A tenant with two memories, on the database that commands work on."""
    for name, value in api.environment.items():
        monkeypatch.setenv(name, value)
    made = api.tenant()
    for content in ("first relay", "second relay"):
        memory = {"projectId": made.project, "content": content}
        api.ok("POST", "/v1/memories", made.full, memory, status=201)
    return made


def lead_elsewhere(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """From here on commands work on an empty SQLite file."""
    monkeypatch.delenv("CLAUDE_MEM_SERVER_DATABASE_URL", raising=False)
    monkeypatch.setenv("CLAUDE_MEM_DATA_DIR", str(directory))


def test_a_team_moves_to_an_empty_database_with_its_ids(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "team.ndjson"
    run("export", "--team", tenant.team, "--output", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    lead_elsewhere(monkeypatch, tmp_path / "new")
    refused = run("import", str(file), "--dry-run", expect=2)
    assert tenant.team in refused.stderr
    told = json.loads(run("import", str(file), "--json").stdout)
    assert told["imported"] == {"projects": 2, "sessions": 0, "events": 0, "observations": 2}
    again = json.loads(run("import", "-", given=file.read_bytes()).stdout)
    assert again["duplicates"]["observations"] == 2
    second = run("export", "--project", tenant.project).stdout.splitlines()[1:]
    first = [line for line in file.read_text().splitlines()[1:] if tenant.sibling not in line]
    kept = [json.loads(line) for line in second if '"observation"' in line]
    assert kept == [json.loads(line) for line in first if '"observation"' in line]


def test_an_export_that_was_cut_short_goes_on(tenant: Tenant, tmp_path: Path) -> None:
    file = tmp_path / "team.ndjson"
    run("export", "--team", tenant.team, "--output", str(file))
    whole = file.read_bytes()
    taken = run("export", "--team", tenant.team, "--output", str(file), expect=1)
    assert "there already" in taken.stderr
    assert "whole already" in run("export", "--output", str(file), "--resume").stderr
    file.write_bytes(whole[: whole.rindex(b'{"type":"observation"') + 30])
    run("export", "--team", tenant.team, "--output", str(file), "--resume")
    assert file.read_bytes() == whole
    file.write_bytes(b"notes\n")
    run("export", "--team", tenant.team, "--output", str(file), "--resume", expect=1)
    assert file.read_bytes() == b"notes\n"


def test_bad_lines_end_the_command_with_1_and_the_others_are_kept(
    api: Server, tenant: Tenant, tmp_path: Path
) -> None:
    lines: list[Any] = run("export", "--project", tenant.project).stdout.splitlines()
    lines.insert(2, '{"type":"observation"}')
    file = tmp_path / "bad.ndjson"
    file.write_text("\n".join(lines))
    to = api.tenant()
    strict = run("import", str(file), "--project", to.project, "--strict", expect=2)
    assert "1 lines cannot be taken in" in strict.stderr
    loose = run("import", str(file), "--project", to.project, expect=1)
    assert "line 3: " in loose.stderr
    assert json.loads(loose.stdout)["imported"]["observations"] == 2
    assert "no project" in run("import", str(file), "--project", "absent", expect=3).stderr
    run("import", str(tmp_path / "absent"), "--team", to.team, expect=1)
