"""The server's commands: how arguments are read, what an environment keeps them from, and how results are shown."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner, Result

from claude_mem.cli import server_context, server_doctor, server_job_scope, server_keys
from claude_mem.cli.main import application
from claude_mem.environment import Role


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["server", *arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["start", "--nonsense"],
        ["worker", "nonsense"],
        ["api-key"],
        ["api-key", "revoke"],
        ["api-key", "create", "--expires-in-days", "0"],
        ["api-key", "list", "--limit", "501"],
        ["jobs", "list", "--status", "lost"],
        ["check-env", "--role", "operator"],
        ["project", "create", "name-without-team"],
        ["team", "create", " "],
    ],
)
def test_what_is_not_understood_ends_with_the_usage_status(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert result.stdout == "" or arguments == ["api-key"]


@pytest.mark.parametrize(
    "arguments", [["api-key", "create"], ["keys"], ["jobs"], ["migrate"], ["team", "list"]]
)
def test_another_runtime_is_refused(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_MEM_RUNTIME", "worker")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "CLAUDE_MEM_RUNTIME=worker" in result.stderr
    assert "next: set CLAUDE_MEM_RUNTIME=server" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["api-key", "create"], ["keys"], ["jobs"], ["migrate"], ["project", "list"]]
)
def test_a_deployment_without_a_database_is_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAUDE_MEM_AUTH_MODE", "api-key")
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert "CLAUDE_MEM_SERVER_DATABASE_URL is required" in result.stderr
    assert result.stdout == ""


def test_the_rest_of_the_environment_does_not_keep_a_command_from_its_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a container a server would also need a queue, Redis and generation to be off."""
    monkeypatch.setenv("CLAUDE_MEM_DOCKER", "1")
    monkeypatch.setenv("CLAUDE_MEM_RUNTIME", "server-beta")
    monkeypatch.setenv("CLAUDE_MEM_REDIS_URL", "not a url")
    monkeypatch.setenv("CLAUDE_MEM_SERVER_DATABASE_URL", "postgresql://user:pass-word@127.0.0.1:1/memory")
    found = server_context.target()
    assert found.database.url is not None
    assert not found.is_local
    assert str(found.queue.engine) == "disabled"
    result = invoke("keys")
    assert result.exit_code == 5
    assert "PostgreSQL does not answer" in result.stderr
    assert "pass-word" not in result.stderr


def test_local_development_uses_the_file_in_the_data_directory() -> None:
    found = server_context.target()
    assert found.is_local
    assert found.database.url is None
    assert found.database.sqlite_path.parent == server_context.data_dir()


def test_check_env_says_no_with_every_reason() -> None:
    result = invoke("check-env", "--container")
    assert result.exit_code == 1
    assert result.stdout.startswith("server startup configuration is invalid:\n  - CLAUDE_MEM_QUEUE_ENGINE")
    assert "CLAUDE_MEM_SERVER_DATABASE_URL is required" in result.stdout
    assert "warning: CLAUDE_MEM_RUNTIME is not set" in result.stdout


def test_check_env_prints_the_verdict_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_MEM_AUTH_MODE", "local-dev")
    monkeypatch.setenv("CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS", "1")
    result = invoke("check-env", "--container", "--role", "worker", "--json")
    verdict = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (verdict["ok"], verdict["role"], verdict["container"]) == (False, "worker", True)
    assert any("local-dev is not allowed in Docker" in problem["message"] for problem in verdict["errors"])


def test_check_env_passes_an_empty_environment_on_a_host() -> None:
    result = invoke("check-env", "--no-container")
    assert result.exit_code == 0
    assert "server startup configuration is valid" in result.stdout
    assert invoke("check-env", "--json").exit_code == 0


def test_a_server_does_not_start_in_an_invalid_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_MEM_AUTH_MODE", "api-key")
    result = invoke("start", "--daemon")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("server startup configuration is invalid:")


def test_nothing_runs_where_no_server_was_started() -> None:
    assert invoke("status").stdout == "Server is not running\n"
    assert invoke("stop").stdout == "Server is not running\n"
    assert json.loads(invoke("status", "--json").stdout) == {"status": "stopped"}
    logs = invoke("logs")
    assert logs.exit_code == 3
    assert "there is no log" in logs.stderr


def test_scopes_may_be_parted_by_commas_or_repeated() -> None:
    assert server_keys.split_scopes(["a, b", "c,,", " d "]) == ["a", "b", "c", "d"]
    assert server_keys.split_scopes(None) == []


@pytest.mark.parametrize("admin", ["", "0"])
def test_steering_in_a_deployment_asks_whose_jobs(admin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_DATABASE_URL", "postgresql://user@127.0.0.1:1/memory")
    monkeypatch.setenv("CLAUDE_MEM_SERVER_ADMIN", admin)
    for arguments in (["status"], ["failed"], ["retry", "x"], ["cancel", "x"]):
        result = invoke("jobs", *arguments)
        assert result.exit_code == 1
        assert "CLAUDE_MEM_SERVER_ADMIN=1" in result.stderr


def test_an_administrator_need_not_say_whose_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_DATABASE_URL", "postgresql://user@127.0.0.1:1/memory")
    monkeypatch.setenv("CLAUDE_MEM_SERVER_ADMIN", "1")
    assert server_job_scope.scope_of(server_context.target(), team=None, project=None).shown() == {
        "team": None,
        "project": None,
    }


def test_a_terminal_gets_a_table_and_a_pipe_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = {"keys": [{"id": "k1"}]}
    server_context.show_rows(result, [["k1", None]], columns=("id", "name"), as_json=False, nothing="none")
    assert json.loads(capsys.readouterr().out) == result
    monkeypatch.setenv("TERM", "dumb")  # a terminal that shows no styles
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    server_context.show_rows(result, [["[k1]", None]], columns=("id", "name"), as_json=False, nothing="none")
    shown = capsys.readouterr().out
    assert shown.split() == ["id", "name", "[k1]"]
    ids = ["k" * 36] * 4  # more than a line of this terminal
    server_context.show_rows(result, [ids], columns=("a", "b", "c", "d"), as_json=False, nothing="none")
    assert "  ".join(ids) in capsys.readouterr().out
    server_context.show_rows({"keys": []}, [], columns=("id",), as_json=False, nothing="no keys")
    assert capsys.readouterr() == ("", "no keys\n")
    server_context.show_lines({"id": "k1", "scopes": ["a", "b"], "projectId": None}, as_json=False)
    assert capsys.readouterr().out.splitlines()[1] == "scopes     a, b"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("example.test", "http://example.test:80"),
    ],
)
def test_a_listener_on_every_address_is_asked_on_loopback(host: str, url: str) -> None:
    assert server_doctor._url(host, 80) == url


def test_the_verdict_is_on_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_MEM_DOCKER", "1")
    assert server_context.judge(Role.SERVER).container
    assert not server_context.judge(Role.SERVER, container=False).container
