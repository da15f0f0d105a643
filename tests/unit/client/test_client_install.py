"""Installing and taking back: exactly our entries, all others untouched, nothing shown that is secret."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from claude_mem.client import claude_code, install, settings
from claude_mem.client.files import MalformedFileError
from tests.support.hook_program import PROGRAM
from tests.support.processes import wait_until

#: Seconds for a process, on a machine that has other things to do.
PATIENCE_S = 240
KEY = "cmem_0123456789abcdef0123456789abcdef"
URL = "https://memory.example.org"
BASE = ["install", "--server-url", URL + "/", "--project-id", "p1"]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(os.environ["HOME"])


def run(*arguments: str, stdin: str = "", expect: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [PROGRAM, *arguments],
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    assert KEY not in done.stdout + done.stderr
    return done


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def tree(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_a_fresh_home_gets_everything(home: Path) -> None:
    run(*BASE, "--api-key", KEY)
    stored = home / ".claude-mem" / "settings.json"
    assert read(stored) == {
        "CLAUDE_MEM_RUNTIME": "server",
        "CLAUDE_MEM_SERVER_URL": URL,
        "CLAUDE_MEM_SERVER_API_KEY": KEY,
        "CLAUDE_MEM_SERVER_PROJECT_ID": "p1",
    }
    mcp = home / ".claude.json"
    assert read(mcp) == {
        "mcpServers": {
            "claude-mem": {
                "type": "http",
                "url": f"{URL}/v1/mcp",
                "headers": {"Authorization": f"Bearer {KEY}"},
            }
        }
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in (stored, mcp)} == {0o600}
    hooks = read(home / ".claude" / "settings.json")["hooks"]
    assert set(hooks) == {"SessionStart", "UserPromptSubmit", "PostToolUse", "Stop", "SessionEnd"}
    assert hooks["PostToolUse"][0]["matcher"] == "*"
    assert "matcher" not in hooks["Stop"][0]
    (handler,) = hooks["Stop"][0]["hooks"]
    assert handler["type"] == "command"
    assert shlex.split(handler["command"])[1:] == ["hook"]


def test_the_installed_command_runs(home: Path) -> None:
    other = home / "bin" / "claude-mem"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    other.chmod(0o755)
    run(*BASE, "--api-key", KEY, PATH=f"{other.parent}:{os.environ['PATH']}")
    command = read(home / ".claude" / "settings.json")["hooks"]["Stop"][0]["hooks"][0]["command"]
    document = json.dumps({"hook_event_name": "Stop", "session_id": "s"})
    env = {**os.environ, "PATH": "/usr/bin:/bin", "CLAUDE_MEM_SERVER_URL": "http://127.0.0.1:1"}
    spool = home / ".claude-mem" / "spool"

    def is_kept() -> bool:
        """Whether a run got as far as to keep what it could not send: it ends itself when its time is over."""
        shutil.rmtree(spool, ignore_errors=True)
        done = subprocess.run(
            command, shell=True, input=document, env=env, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0
        return len(list(spool.glob("*.json"))) == 2

    wait_until(is_kept, what="the end of the session to be kept")


THEIRS = {
    "model": "opus",
    "hooks": {
        "PostToolUse": [
            {"matcher": "Bash", "hooks": [{"type": "command", "command": "theirs claude-mem-ish hook"}]}
        ],
        "PreToolUse": [],
        "Stop": [{"hooks": [{"type": "command", "command": "say done"}]}],
    },
}
THEIR_SERVERS = {
    "numStartups": 4,
    "mcpServers": {"other": {"type": "stdio", "command": "x"}},
    "projects": {"/w": {}},
}


@pytest.mark.parametrize(("indent", "end"), [(2, "\n"), (4, ""), ("\t", "\n")])
def test_uninstall_restores_every_byte(home: Path, indent: Any, end: str) -> None:
    (home / ".claude").mkdir()
    (home / ".claude" / "settings.json").write_text(json.dumps(THEIRS, indent=indent) + end, encoding="utf-8")
    (home / ".claude.json").write_text(json.dumps(THEIR_SERVERS, indent=indent) + end, encoding="utf-8")
    (home / ".claude" / "settings.json").chmod(0o664)
    before = tree(home)
    run(*BASE, "--api-key", KEY)
    assert stat.S_IMODE((home / ".claude" / "settings.json").stat().st_mode) == 0o664
    installed = tree(home)
    run(*BASE, "--api-key", KEY)
    assert tree(home) == installed
    hooks = read(home / ".claude" / "settings.json")["hooks"]
    assert hooks["PostToolUse"][0] == THEIRS["hooks"]["PostToolUse"][0]  # type: ignore[index]
    assert read(home / ".claude.json")["mcpServers"]["other"] == {"type": "stdio", "command": "x"}
    run("uninstall")
    assert (home / ".claude-mem" / "settings.json").exists()
    run("uninstall", "--purge")
    assert tree(home) == before
    assert "nothing to change" in run("uninstall", "--purge").stdout


def test_uninstall_of_a_fresh_home_leaves_no_file(home: Path) -> None:
    run(*BASE, "--api-key", KEY)
    run("uninstall", "--purge")
    assert tree(home) == {}


def test_purge_keeps_what_is_not_ours(home: Path) -> None:
    path = home / ".claude-mem" / "settings.json"
    path.parent.mkdir()
    path.write_text('{"CLAUDE_MEM_MODEL": "x"}', encoding="utf-8")
    run(*BASE, "--api-key", KEY)
    run("uninstall", "--purge")
    assert read(path) == {"CLAUDE_MEM_MODEL": "x"}


def test_our_handler_in_a_shared_group_goes_alone() -> None:
    ours = {"type": "command", "command": "/usr/bin/claude-mem hook"}
    theirs = {"type": "command", "command": "lint"}
    content = {"hooks": {"Stop": [{"hooks": [theirs, ours]}]}}
    assert claude_code.without_hooks(content) == {"hooks": {"Stop": [{"hooks": [theirs]}]}}


def test_a_moved_program_replaces_its_old_hooks() -> None:
    first = claude_code.with_hooks({}, command="/old/claude-mem hook")
    second = claude_code.with_hooks(first, command="'/new place/claude-mem' hook")
    assert json.dumps(second).count('hook"') == len(claude_code.HOOK_EVENTS)
    assert "/old/" not in json.dumps(second)


@pytest.mark.parametrize("content", [{"hooks": []}, {"hooks": {"Stop": {}}}])
def test_hooks_of_another_shape_are_not_touched(home: Path, content: dict[str, Any]) -> None:
    path = home / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content), encoding="utf-8")
    run(*BASE, expect=1)
    assert read(path) == content
    assert not (home / ".claude-mem" / "settings.json").exists()
    with pytest.raises(MalformedFileError, match="hooks"):
        claude_code.with_hooks(content, command="x")


@pytest.mark.parametrize("name", [".claude.json", ".claude/settings.json", ".claude-mem/settings.json"])
def test_a_malformed_file_stops_all_of_it(home: Path, name: str) -> None:
    path = home / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("{", encoding="utf-8")
    done = run(*BASE, "--api-key", KEY, expect=2 if "mem" in name else 1)
    assert name in done.stderr
    assert tree(home) == {name: b"{"}


def test_a_dry_run_shows_and_does_nothing(home: Path) -> None:
    done = run(*BASE, "--api-key", KEY, "--dry-run", "--json")
    shown = json.loads(done.stdout)
    assert shown["dryRun"] is True
    assert [Path(change["path"]).name for change in shown["changed"]] == [
        "settings.json",
        "settings.json",
        ".claude.json",
    ]
    assert shown["changed"][2]["content"]["mcpServers"]["claude-mem"]["url"] == f"{URL}/v1/mcp"
    assert "would write" in run(*BASE, "--api-key", KEY, "--dry-run").stdout
    assert tree(home) == {}


def test_the_key_may_come_from_stdin_or_the_environment(home: Path) -> None:
    path = home / ".claude-mem" / "settings.json"
    run(*BASE, "--api-key", "-", stdin=f"{KEY}\n")
    assert read(path)["CLAUDE_MEM_SERVER_API_KEY"] == KEY
    path.unlink()
    run(*BASE, CLAUDE_MEM_SERVER_API_KEY=KEY)
    assert read(path)["CLAUDE_MEM_SERVER_API_KEY"] == KEY


def test_what_is_not_given_stays_and_legacy_values_become_canonical(home: Path) -> None:
    path = home / ".claude-mem" / "settings.json"
    path.parent.mkdir()
    legacy = {"CLAUDE_MEM_SERVER_BETA_URL": "http://old:1", "CLAUDE_MEM_SERVER_BETA_API_KEY": KEY}
    path.write_text(json.dumps({**legacy, "CLAUDE_MEM_RUNTIME": "server-beta"}), encoding="utf-8")
    run("install", "--project-id", "p1")
    assert read(path) == {
        **legacy,
        "CLAUDE_MEM_RUNTIME": "server",
        "CLAUDE_MEM_SERVER_URL": "http://old:1",
        "CLAUDE_MEM_SERVER_API_KEY": KEY,
        "CLAUDE_MEM_SERVER_PROJECT_ID": "p1",
    }


def test_with_nothing_given_the_local_server_is_meant(home: Path) -> None:
    done = run("install")
    stored = read(home / ".claude-mem" / "settings.json")
    assert stored == {"CLAUDE_MEM_RUNTIME": "server", "CLAUDE_MEM_SERVER_URL": settings.default_server_url()}
    assert "headers" not in read(home / ".claude.json")["mcpServers"]["claude-mem"]
    assert "--project-id" in done.stderr


def test_project_scope_shares_no_key(home: Path, tmp_path: Path) -> None:
    run(*BASE[:-1], "team project", "--api-key", KEY, "--scope", "project")
    shared = (tmp_path / ".mcp.json").read_text(encoding="utf-8")
    assert KEY not in shared
    assert "${CLAUDE_MEM_SERVER_API_KEY}" in shared
    command = read(tmp_path / ".claude" / "settings.json")["hooks"]["Stop"][0]["hooks"][0]["command"]
    assert shlex.split(command) == ["claude-mem", "hook", "--project-id", "team project"]
    assert not (home / ".claude.json").exists()
    run("uninstall", "--scope", "project")
    assert not (tmp_path / ".mcp.json").exists()
    assert not (tmp_path / ".claude" / "settings.json").exists()


def test_another_configuration_directory_is_respected(home: Path) -> None:
    run(*BASE, CLAUDE_CONFIG_DIR=str(home / "elsewhere"))
    assert (home / "elsewhere" / "settings.json").exists()
    assert (home / "elsewhere" / ".claude.json").exists()
    assert not (home / ".claude").exists()


@pytest.mark.parametrize(
    "wrong", [["--runtime", "worker"], ["--scope", "world"], ["--agent", "vim"], ["--server-url", "nowhere"]]
)
def test_wrong_choices_are_usage_errors_that_name_them(home: Path, wrong: list[str]) -> None:
    done = run("install", *wrong, expect=2)
    assert wrong[1] in done.stderr or "--" in done.stderr or "SERVER_URL" in done.stderr
    assert tree(home) == {}


def test_the_older_runtime_name_is_written_as_the_new_one(home: Path) -> None:
    run(*BASE, "--runtime", "Server-Beta")
    assert read(home / ".claude-mem" / "settings.json")["CLAUDE_MEM_RUNTIME"] == "server"


def test_a_link_in_a_dotfile_repository_stays_a_link(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles.json"
    target.write_text("{}\n", encoding="utf-8")
    (home / ".claude").mkdir()
    (home / ".claude" / "settings.json").symlink_to(target)
    run(*BASE)
    assert (home / ".claude" / "settings.json").is_symlink()
    assert "hooks" in read(target)


def test_plans_need_no_process(home: Path) -> None:
    plan = install.plan_install(install.InstallRequest(server_url=URL, api_key=KEY, directory=home))
    assert [change.changes_anything for change in plan] == [True, True, True]
    assert KEY not in json.dumps([install.redacted(change.after) for change in plan])
