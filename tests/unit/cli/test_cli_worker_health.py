"""A worker's probe: what it answers, and that it costs little."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from claude_mem.cli import worker_health
from claude_mem.cli.main import application
from claude_mem.client import settings
from claude_mem.process import beat
from claude_mem.settings.fields import fill
from claude_mem.settings.groups import PathSettings

PROBE = """
import sys
from claude_mem.cli import main
sys.argv = ["claude-mem", "server", "worker", "health"]
status = main.main()
print(*sys.modules)
sys.exit(status)
"""


@pytest.fixture
def where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLAUDE_MEM_DATA_DIR", str(tmp_path))
    return tmp_path


def leave(where: Path, *, age_s: float) -> None:
    (where / beat.BEAT_FILE).write_text(beat.text(beat.Beat(41, time.time() - age_s)), "utf-8")


def test_a_worker_that_gave_a_sign_just_now_is_well(where: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(where, age_s=0)
    assert worker_health.run(as_json=False) == 0
    assert capsys.readouterr() == ("worker: ok\n", "")


def test_a_worker_that_has_been_silent_is_not(where: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(where, age_s=600)
    assert worker_health.run(as_json=True) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert (found["status"], found["pid"], found["ageSeconds"] >= 600) == ("unhealthy", 41, True)
    assert "the last sign of life is 60" in said.err
    assert "next: claude-mem server worker start" in said.err


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{}", b'{"pid": "x", "at": 1}', b"\xff"])
def test_without_a_sign_that_can_be_read_it_is_not(
    where: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    if content is not None:
        (where / beat.BEAT_FILE).write_bytes(content)
    assert worker_health.run(as_json=False) == 1
    assert "there is no sign of life" in capsys.readouterr().err


def test_the_command_is_the_same_by_the_long_way(where: Path) -> None:
    """Options that the short way does not know, as those of the help, go to the application."""
    runner = CliRunner()
    assert runner.invoke(application(), ["server", "worker", "health"]).exit_code == 1
    leave(where, age_s=0)
    answered = runner.invoke(application(), ["server", "worker", "health", "--json"])
    assert (answered.exit_code, json.loads(answered.output)["status"]) == (0, "ok")


@pytest.mark.parametrize("configured", [None, "", " ", "/srv/memory", "~/elsewhere", " /srv/x "])
def test_it_looks_where_the_worker_writes(monkeypatch: pytest.MonkeyPatch, configured: str | None) -> None:
    monkeypatch.delenv("CLAUDE_MEM_DATA_DIR", raising=False)
    if configured is not None:
        monkeypatch.setenv("CLAUDE_MEM_DATA_DIR", configured)
    assert settings.data_dir() == fill(PathSettings, os.environ).data_dir


def test_nothing_heavy_is_imported(where: Path) -> None:
    leave(where, age_s=0)
    # Measuring coverage in the child would import what the probe does not.
    plain = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True, timeout=240, env=plain
    )
    status, modules = done.stdout.splitlines()
    assert status == "worker: ok"
    roots = {name.partition(".")[0] for name in modules.split()}
    heavy = {"typer", "rich", "pydantic", "httpx", "asyncio", "logging", "inspect", "dataclasses", "ssl"}
    assert roots & heavy == set()
    outside = {name for name in roots if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert outside <= {"claude_mem", "sitecustomize"}
