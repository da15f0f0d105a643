"""`claude-mem server bootstrap` on both storages: what it prints, what it refuses, and with which status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from claude_mem.cli.main import application
from tests.support.databases import ADAPTERS, PATIENT_WITH_POSTGRES, Storage

pytestmark = pytest.mark.services

KEY = "cmem_" + "7" * 48


@pytest.fixture(params=ADAPTERS)
def migrated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A database with a schema, named by the environment."""
    found: Storage = request.getfixturevalue(f"{request.param}_storage")
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    return path


def bootstrap(path: Path, *more: str, expect: int = 0) -> Result:
    arguments = ["server", "bootstrap", "--team", "platform", "--project", "monorepo"]
    result = CliRunner().invoke(application(), [*arguments, "--api-key-file", str(path), *more])
    assert result.exit_code == expect, (result.stdout, result.stderr, result.exception)
    assert KEY not in result.stdout + result.stderr
    return result


def shown(path: Path, *more: str) -> Any:
    return json.loads(bootstrap(path, *more).stdout)


def test_it_may_run_any_number_of_times(migrated: Storage, key_file: Path) -> None:
    first = shown(key_file, "--json")
    assert list(first) == ["teamId", "projectId", "keyId", "name", "scopes", "created", "revoked"]
    assert first["created"] == ["team", "project", "key"]
    assert (first["name"], first["scopes"]) == ("bootstrap", ["memories:read", "memories:write"])
    assert shown(key_file) == first | {"created": []}
    key_file.write_text(KEY[::-1])
    rotated = shown(key_file, "--scope", "memories:read")
    assert (rotated["created"], rotated["revoked"]) == (["key"], [first["keyId"]])
    assert rotated["scopes"] == ["memories:read"]
    key_file.write_text(KEY)
    refused = bootstrap(key_file, expect=1)
    assert refused.stdout == ""
    assert "was revoked" in refused.stderr


@pytest.mark.parametrize("content", ["", "short\n", "a" * 5000, "caf\u00e9" * 20])
def test_a_file_without_a_key_is_refused(key_file: Path, content: str) -> None:
    key_file.write_text(content, encoding="utf-8")
    refused = bootstrap(key_file, expect=2)
    assert f"{key_file} holds no API key" in refused.stderr
    assert not content or content not in refused.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused = bootstrap(tmp_path / "absent", expect=2)
    assert str(tmp_path / "absent") in refused.stderr
    assert "next: " in refused.stderr


def test_an_unknown_scope_is_refused(migrated: Storage, key_file: Path) -> None:
    assert "unknown scope" in bootstrap(key_file, "--scope", "everything", expect=2).stderr


def test_a_database_without_a_schema_is_not_given_one(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = bootstrap(key_file, expect=1)
    assert "has no schema yet" in refused.stderr
    assert "next: claude-mem server migrate" in refused.stderr


def test_an_empty_postgres_is_not_given_one(
    key_file: Path, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_DATABASE_URL", postgres_url)
    for name, value in PATIENT_WITH_POSTGRES.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLAUDE_MEM_POSTGRES_SSL", "disable")
    assert "has no schema yet" in bootstrap(key_file, expect=1).stderr


def test_a_database_that_does_not_answer_has_a_status_of_its_own(
    key_file: Path, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_DATABASE_URL", f"postgresql://u:p@127.0.0.1:{free_port}/memory")
    assert "does not answer" in bootstrap(key_file, expect=5).stderr
