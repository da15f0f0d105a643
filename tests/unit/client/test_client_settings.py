"""Where settings come from, what wins, and what writing leaves alone."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from claude_mem.client import settings
from claude_mem.client.settings import SettingsError, load_settings, select_runtime

KEY = "cmem_0123456789abcdef0123456789abcdef"


def store(content: Any) -> Path:
    path = settings.settings_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


LEVELS = [
    ("env", "CLAUDE_MEM_SERVER_URL"),
    ("env", "CLAUDE_MEM_SERVER_BETA_URL"),
    ("file", "CLAUDE_MEM_SERVER_URL"),
    ("nested", "CLAUDE_MEM_SERVER_URL"),
    ("file", "CLAUDE_MEM_SERVER_BETA_URL"),
    ("nested", "CLAUDE_MEM_SERVER_BETA_URL"),
]


@pytest.mark.parametrize("first", range(len(LEVELS)))
def test_the_first_non_empty_level_wins(monkeypatch: pytest.MonkeyPatch, first: int) -> None:
    flat: dict[str, str] = {}
    nested: dict[str, str] = {}
    for rank, (place, name) in enumerate(LEVELS):
        value = f" http://level-{rank} " if rank >= first else "  "
        if place == "env":
            monkeypatch.setenv(name, value)
        else:
            (flat if place == "file" else nested)[name] = value
    store({**flat, "env": nested})
    assert load_settings().server_url.value == f"http://level-{first}"
    assert LEVELS[first][1] in load_settings().server_url.origin


def test_nothing_set_gives_the_local_server_of_this_user() -> None:
    resolved = load_settings()
    assert resolved.server_url == settings.Setting(f"http://127.0.0.1:{37877 + os.getuid() % 100}", "default")
    assert resolved.api_key == settings.Setting("", "unset")
    assert resolved.runtime.value == "server"


@pytest.mark.parametrize(("port", "used"), [("4000", "4000"), ("0", None), ("70000", None), ("x", None)])
def test_the_default_follows_the_servers_port(
    monkeypatch: pytest.MonkeyPatch, port: str, used: str | None
) -> None:
    monkeypatch.setenv("CLAUDE_MEM_SERVER_PORT", port)
    expected = used or str(37877 + os.getuid() % 100)
    assert load_settings().server_url.value == f"http://127.0.0.1:{expected}"


@pytest.mark.parametrize("content", ["{", "[]", '"text"', "\x00", '{"CLAUDE_MEM_SERVER_URL": ["x"]}'])
def test_a_malformed_file_is_an_error_that_names_it(content: str) -> None:
    path = store(content)
    with pytest.raises(SettingsError, match=str(path)):
        load_settings()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_malformed_file_is_not_overwritten(content: str) -> None:
    path = store(content)
    with pytest.raises(SettingsError, match=str(path)):
        settings.write_settings({settings.RUNTIME: "server"})
    assert path.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("value", ["server", "server-beta", " Server ", "SERVER-BETA", ""])
def test_the_runtimes_there_are(value: str) -> None:
    assert select_runtime(value) == "server"


@pytest.mark.parametrize("value", ["worker", "servers", "sqlite", "server beta"])
def test_any_other_runtime_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(SettingsError, match=value):
        select_runtime(value)
    monkeypatch.setenv("CLAUDE_MEM_RUNTIME", value)
    with pytest.raises(SettingsError, match=value):
        select_runtime()


def test_the_runtime_may_come_from_the_file() -> None:
    assert select_runtime() == "server"
    store({"env": {"CLAUDE_MEM_RUNTIME": "worker"}})
    with pytest.raises(SettingsError, match="worker"):
        select_runtime()


def test_writing_keeps_everything_else_and_leaves_one_answer() -> None:
    path = store(
        {
            "theirs": [1, {"deep": "é"}],
            "CLAUDE_MEM_SERVER_BETA_URL": "http://old",
            "env": {"CLAUDE_MEM_SERVER_URL": "http://nested", "OTHER": "stays"},
        }
    )
    path.chmod(0o644)
    assert settings.write_settings({settings.SERVER_URL: "http://new", settings.SERVER_API_KEY: KEY}) == path
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "theirs": [1, {"deep": "é"}],
        "CLAUDE_MEM_SERVER_BETA_URL": "http://old",
        "env": {"OTHER": "stays"},
        "CLAUDE_MEM_SERVER_URL": "http://new",
        "CLAUDE_MEM_SERVER_API_KEY": KEY,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(ValueError, match="BETA"):
        settings.write_settings({"CLAUDE_MEM_SERVER_BETA_URL": "http://x"})


def test_the_key_is_not_in_the_repr() -> None:
    store({"CLAUDE_MEM_SERVER_API_KEY": KEY})
    resolved = load_settings()
    assert resolved.api_key.value == KEY
    assert KEY not in repr(resolved)
    assert settings.mask_secret("short") == "…"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:37877",
        "ftp://host",
        "http://",
        "http://u:p@host",
        "http://h:x",
        "http://h o/",
        "http://h/?q",
    ],
)
def test_unusable_addresses_are_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="CLAUDE_MEM_SERVER_URL"):
        settings.checked_server_url(url)


def test_trailing_slashes_are_trimmed() -> None:
    assert settings.checked_server_url("https://host/base//") == "https://host/base"
