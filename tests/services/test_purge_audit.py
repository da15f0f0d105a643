"""A purge takes what was searched for in its project out of the audit log, and nothing else out of it."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem.services.purging import purge_project
from claude_mem.storage import audit
from claude_mem.storage.database import Database
from tests.support.http import Server, Tenant
from tests.support.load import make_world

WORD = "xyzzy"


def lines(api: Server, tenant: Tenant) -> dict[str, dict[str, Any]]:
    return {line["id"]: line for line in api.ok("GET", "/v1/audit?limit=200", tenant.full)["audit"]}


def test_words_of_searches_go_and_lines_stay(api: Server, tenant: Tenant) -> None:
    other = api.tenant()
    for whose, project in (
        (tenant, tenant.project),
        (tenant, tenant.sibling),
        (other, other.project),
    ):
        for path in ("/v1/search", "/v1/context"):
            api.ok("POST", path, whose.full, {"projectId": project, "query": f"{WORD} {project}"})
    before = lines(api, tenant)
    mine = {name for name, line in before.items() if f"{WORD} {tenant.project}" in str(line)}
    assert len(mine) == 2
    api.ok("DELETE", f"/v1/projects/{tenant.project}/memory", tenant.full)
    after = lines(api, tenant)
    assert f"{WORD} {tenant.project}" not in str(after)
    for name, line in before.items():
        if name in mine:
            line["details"].pop("query")
            line["details"]["queryCleared"] = True
        assert after[name] == line
    assert str(lines(api, other)).count(WORD) == 2
    (purged,) = (line for line in after.values() if line["action"] == "project.memory_purged")
    assert purged["details"]["clearedQueries"] == 2


async def test_a_purge_that_fails_clears_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await make_world(database)
    entry = world.caller.audit(
        "observation.read", "observation", resource_id=None, project_id=world.project_id, query=WORD
    )
    await audit.append(database, [entry], now_us=1)

    async def lost(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(audit, "append", lost)
    with pytest.raises(ConnectionError):
        await purge_project(database, world.caller, world.project_id)
    (line,) = await audit.list_rows(
        database,
        team_id=world.team_id,
        project_id=world.project_id,
        action=None,
        resource_id=None,
        before=None,
        limit=9,
    )
    assert WORD in line["details"]
