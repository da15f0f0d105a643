"""`server usage` and `server budget` on both storages, and what they say when something is missing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from claude_mem.cli import server_usage
from claude_mem.model.times import now_us
from claude_mem.storage import usage
from tests.support.databases import Storage
from tests.support.load import World, make_world

pytestmark = pytest.mark.usefixtures("within_a_day")


@pytest.fixture
def world(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two teams, one of which has made a call, and an environment that names their database."""
    for name, value in storage.environment.items():
        monkeypatch.setenv(name, value)
    if storage.name == "postgres":
        monkeypatch.setenv("CLAUDE_MEM_AUTH_MODE", "api-key")
    return asyncio.run(_fill(storage))


async def _fill(storage: Storage) -> World:
    database = await storage.open()
    world = await make_world(database)
    metadata = {"model": "claude-sonnet-5", "inputTokens": 900, "outputTokens": 100, "lane": "event"}
    for team, project in ((world.team_id, world.project_id), (world.other_team_id, None)):
        row = usage.UsageRow(
            team_id=team, project_id=project, kind="tokens", quantity=1000, at_us=now_us(), metadata=metadata
        )
        await usage.append(database, [row])
    await storage.close()
    storage._opened.clear()
    return world


def invoke(*arguments: str) -> Result:
    app, budget = typer.Typer(), typer.Typer()
    app.command("usage")(server_usage.usage)
    budget.command("list")(server_usage.budget_list)
    budget.command("set")(server_usage.budget_set)
    budget.command("remove")(server_usage.budget_remove)
    app.add_typer(budget, name="budget")
    return CliRunner().invoke(app, arguments)


def ok(*arguments: str) -> Any:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_usage_of_every_team_of_one_and_of_a_project(world: World) -> None:
    teams = ok("usage", "--by", "team")
    assert {line["teamId"]: line["tokens"] for line in teams["lines"]} == {
        world.team_id: 1000,
        world.other_team_id: 1000,
    }
    assert teams["total"]["costUsd"] == 0.0056
    one = ok("usage", "--team", world.team_id)
    assert [line["projectId"] for line in one["lines"]] == [world.project_id]
    assert ok("usage", "--project", world.sibling_id, "--by", "day")["lines"] == []
    assert ok("usage", "--since", "2020-01-01", "--until", "2020-02-01")["total"]["calls"] == 0
    assert invoke("usage", "--since", "soon").exit_code == 2


def test_prices_of_ones_own_count(
    world: World, storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if storage.name == "postgres":
        monkeypatch.setenv("CLAUDE_MEM_DATA_DIR", str(tmp_path))
    own = (tmp_path if storage.name == "postgres" else storage.settings.sqlite_path.parent) / "prices.json"
    own.write_text('{"models": {"claude-sonnet-5": {"input": 1000, "output": 0}}}')
    assert ok("usage", "--team", world.team_id)["total"]["costUsd"] == 0.9
    own.write_text("{}")
    result = invoke("usage")
    assert result.exit_code == 2
    assert "is no file of prices" in " ".join(result.stderr.split())


def test_budgets_are_set_listed_and_removed(world: World) -> None:
    made = ok("budget", "set", "--tokens", "1000", "--project", world.project_id)
    assert (made["scope"], made["state"], made["remainingTokens"]) == ("project", "spent", 0)
    ok("budget", "set", "--usd", "10", "--period", "month", "--team", world.team_id)
    listed = ok("budget", "list", "--team", world.team_id)["budgets"]
    assert [(one["scope"], one["period"], one["isDefault"]) for one in listed] == [
        ("team", "day", True),
        ("team", "month", False),
        ("project", "day", False),
    ]
    assert ok("budget", "remove", "--project", world.project_id)["deleted"] is True
    missing = invoke("budget", "remove", "--project", world.project_id)
    assert (missing.exit_code, "Budget not found" in missing.stderr) == (3, True)


def test_what_is_missing_is_said(world: World) -> None:
    for arguments, code, words in (
        (["budget", "list"], 2, "several teams"),
        (["budget", "list", "--team", "nobody"], 3, "no team 'nobody'"),
        (["budget", "set", "--tokens", "1", "--project", "nothing"], 3, "no project 'nothing'"),
        (["budget", "set", "--team", world.team_id], 2, "at least one of"),
        (["budget", "set", "--tokens", "1", "--period", "week"], 2, "day or month"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == code, arguments
        assert words in " ".join(result.stderr.replace("│", " ").split())
