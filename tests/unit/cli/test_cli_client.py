"""The client's commands as a person or a script runs them: output, exit codes, and where each word goes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from claude_mem import __version__
from claude_mem.cli import main as cli_main
from claude_mem.cli.output import ExitCode
from claude_mem.client import settings
from claude_mem.client.claude_code import HOOK_EVENTS
from tests.support.hook_program import PROGRAM
from tests.support.ports import free_port
from tests.unit.client.recording_server import OBSERVATION, Answer, RecordingServer

#: Seconds for a process, on a machine that has other things to do.
PATIENCE_S = 240
KEY = "cmem_0123456789abcdef0123456789abcdef"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[RecordingServer]:
    with RecordingServer() as running:
        monkeypatch.setenv("CLAUDE_MEM_SERVER_URL", running.url)
        monkeypatch.setenv("CLAUDE_MEM_SERVER_API_KEY", KEY)
        monkeypatch.setenv("CLAUDE_MEM_SERVER_PROJECT_ID", "p1")
        running.memories = [OBSERVATION]
        yield running


def run(*arguments: str, expect: int = 0, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PROGRAM, *arguments],
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == expect, (done.stdout, done.stderr)
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def loads(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_the_version() -> None:
    assert run("--version").stdout == f"claude-mem {__version__}\n"


def test_exit_codes_are_the_documented_ones() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAILURE": 1,
        "USAGE": 2,
        "NOT_FOUND": 3,
        "AUTH": 4,
        "UNAVAILABLE": 5,
    }


def test_search(server: RecordingServer) -> None:
    assert loads(run("search", "outbox", "--limit", "3", "--json"))["observations"][0]["id"] == "o1"
    assert server.requests[0].body == {"projectId": "p1", "query": "outbox", "limit": 3}
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    text = run("search", "outbox").stdout
    assert "The outbox relay re-sends what is due." in text
    assert "\x1b" not in text


def test_context(server: RecordingServer) -> None:
    server.context = "Use [the] outbox."
    assert run("context", "retry", "--max-tokens", "500").stdout == "Use [the] outbox.\n"
    assert server.requests[0].body["maxTokens"] == 500
    assert loads(run("context", "retry", "--json"))["context"] == "Use [the] outbox."
    assert "maxTokens" not in server.requests[1].body


def test_remember(server: RecordingServer) -> None:
    assert run("remember", "Use the outbox.", "--kind", "decision").stdout == "o1\n"
    assert server.requests[0].body["kind"] == "decision"
    assert loads(run("remember", "-", "--json", stdin="from stdin"))["memory"]["content"] == "from stdin"


def test_observations(server: RecordingServer) -> None:
    page = loads(run("observations", "--limit", "5", "--json", "--project-id", "p2"))
    assert page["memories"][0]["createdAtEpoch"] == OBSERVATION["createdAtEpoch"]
    assert server.requests[0].query == {"projectId": "p2", "limit": "5"}
    server.memories = []
    empty = run("observations")
    assert (empty.stdout, empty.stderr) == ("", "nothing found\n")


def test_status(server: RecordingServer) -> None:
    report = loads(run("status", "--json"))
    assert (report["reachable"], report["ready"], report["authenticated"]) == (True, True, True)
    assert report["spool"]["entries"] == 0
    assert "reachable      yes" in run("status").stdout


@pytest.mark.parametrize(
    ("status", "code"), [(401, 4), (403, 4), (404, 3), (400, 1), (429, 5), (500, 5), (402, 1)]
)
def test_an_answers_status_decides_the_exit_code(server: RecordingServer, status: int, code: int) -> None:
    server.rule = lambda _: Answer(status, {"error": "E", "message": "because of that"}, {"Retry-After": "0"})
    done = run("search", "x", expect=code)
    assert done.stdout == ""
    assert "because of that" in done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: ")
    assert len(lines) <= 2


def test_no_server_is_exit_code_5_with_a_next_step(server: RecordingServer) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = run("status", "--json", "--server-url", url, expect=5)
    assert loads(done)["reachable"] is False
    assert url in done.stderr
    assert "next:" in done.stderr
    run("search", "x", CLAUDE_MEM_SERVER_URL=url, expect=5)


def test_a_refused_key_is_exit_code_4(server: RecordingServer) -> None:
    server.rule = lambda request: (
        Answer(403, {"error": "Forbidden", "message": "no"}) if request.path == "/v1/connect" else None
    )
    report = loads(run("status", "--json", expect=4))
    assert (report["reachable"], report["authenticated"]) == (True, False)


def test_another_runtime_is_refused_by_name(server: RecordingServer) -> None:
    done = run("search", "x", CLAUDE_MEM_RUNTIME="worker", expect=2)
    assert "'worker'" in done.stderr
    assert server.requests == []
    run("search", "x", CLAUDE_MEM_RUNTIME="Server-Beta")


def test_no_project_says_what_to_do(server: RecordingServer) -> None:
    done = run("search", "x", CLAUDE_MEM_SERVER_PROJECT_ID="", expect=2)
    assert "CLAUDE_MEM_SERVER_PROJECT_ID" in done.stderr


def test_config_show_masks_the_key_and_names_origins() -> None:
    settings.write_settings({settings.SERVER_API_KEY: KEY, settings.SERVER_PROJECT_ID: "p9"})
    shown = loads(run("config", "show", "--json", "--origin", CLAUDE_MEM_SERVER_BETA_URL="http://legacy"))
    assert shown["CLAUDE_MEM_SERVER_API_KEY"]["value"].startswith("cmem_")
    assert shown["CLAUDE_MEM_SERVER_PROJECT_ID"]["value"] == "p9"
    assert str(settings.settings_path()) in shown["CLAUDE_MEM_SERVER_PROJECT_ID"]["origin"]
    assert shown["CLAUDE_MEM_SERVER_URL"] == {
        "value": "http://legacy",
        "origin": "environment CLAUDE_MEM_SERVER_BETA_URL",
    }
    assert loads(run("config", "show", "--json"))["CLAUDE_MEM_RUNTIME"] == "server"
    assert "CLAUDE_MEM_RUNTIME=server  (default)" in run("config", "show", "--origin").stdout


def test_a_malformed_settings_file_is_a_clear_error() -> None:
    path = settings.settings_path()
    path.parent.mkdir(parents=True)
    path.write_text("{", encoding="utf-8")
    assert str(path) in run("config", "show", expect=2).stderr
    assert str(path) in run("search", "x", expect=2).stderr


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["search"], ["search", "x", "--limit", "0"], ["config", "x"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    run(*arguments, expect=2)


def test_colour_needs_a_terminal_and_respects_no_color(server: RecordingServer) -> None:
    assert "\x1b[" not in run("search", "x", FORCE_COLOR="", NO_COLOR="1").stdout
    done = run("search", "x", CLAUDE_MEM_SERVER_URL="nonsense", NO_COLOR="1", expect=2)
    assert "\x1b[" not in done.stderr


def test_a_missing_server_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}", name="aiohttp")

    monkeypatch.setattr(cli_main, "import_module", missing)
    done = CliRunner().invoke(cli_main.application(), ["server", "start", "--daemon"])
    assert done.exit_code == 1
    assert "aiohttp" in done.stderr
    assert "pip install '.[server]'" in done.stderr


def test_settings_hooks_and_exit_codes_are_documented() -> None:
    docs = Path(__file__).parents[3] / "docs"
    reference = (docs / "reference" / "client-settings.md").read_text(encoding="utf-8")
    names = {settings.DATA_DIR_VARIABLE, settings.SERVER_PORT, *settings.SETTING_KEYS}
    for name in names | set(settings.LEGACY_KEYS.values()):
        assert f"`{name}`" in reference, name
    for code in ExitCode:
        assert f"\n| {code.value} |" in reference, code
    guide = (docs / "how-to" / "hooks.md").read_text(encoding="utf-8")
    for event in HOOK_EVENTS:
        assert f"`{event}`" in guide, event


def test_every_command_has_help_and_json() -> None:
    with_json = {"install", "uninstall", "status", "search", "context", "remember", "observations"}
    commands = get_command(cli_main.application(with_server=False)).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        for each in getattr(command, "commands", {name: command}).values():
            assert each.help, name
            options = {option for parameter in each.params for option in parameter.opts}
            assert "--json" in options or each.name in ("hook", "server"), each.name
    assert with_json <= set(commands)
    assert "Take a coding agent's hook JSON" in run("hook", "--help").stdout
