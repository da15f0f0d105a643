"""Retention rules over HTTP and at the command line, and the server that carries them out."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from claude_mem.cli.main import application
from claude_mem.process import server as process
from claude_mem.services import retention as service
from tests.support.http import PATIENCE_S, Server, Storage, Tenant, database_url, event_body

RULE = {"subject": "events", "maxAgeDays": 30}


async def at_rest(_: service.RetentionService) -> None:
    await asyncio.Event().wait()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that carries no rule out by itself, so that what is foretold is still there a moment later."""
    kind: Storage = request.param
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "true"}
    url = database_url(request, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "keep_running", at_rest)
        with Server(tmp_path_factory.mktemp("at-rest"), database_url=url, environ=environ) as server:
            patch.undo()
            yield server


def sent_long_ago(api: Server, tenant: Tenant, project: str) -> str:
    """An event of 2001, without a job."""
    body = event_body(project, occurredAtEpoch=1_000_000_000_000)
    found: str = api.ok("POST", "/v1/events?generate=false", tenant.full, body, status=201)["event"]["id"]
    return found


def test_a_rule_is_added_foretold_carried_out_and_removed(api: Server, tenant: Tenant) -> None:
    event = sent_long_ago(api, tenant, tenant.project)
    kept = sent_long_ago(api, tenant, tenant.sibling)
    rule = api.ok("POST", "/v1/retention", tenant.admin, RULE | {"projectId": tenant.project}, status=201)[
        "rule"
    ]
    assert api.ok("GET", "/v1/retention", tenant.scoped)["rules"] == [rule]
    assert api.ok("GET", "/v1/retention", tenant.sibling_key)["rules"] == []
    (foretold,) = api.ok("GET", "/v1/retention/preview", tenant.read)["removals"]
    assert (foretold["ruleId"], foretold["count"]) == (rule["id"], 1)
    assert foretold["oldestAtEpoch"] == 1_000_000_000_000
    api.run(service.RetentionService(api.services.database).run_due())
    assert api.ok("GET", "/v1/retention", tenant.full)["rules"][0]["lastRemoved"] == 1
    assert api.call("GET", f"/v1/events/{event}", tenant.full).status_code == 404
    assert api.call("GET", f"/v1/events/{kept}", tenant.full).status_code == 200
    assert api.ok("DELETE", f"/v1/retention/{rule['id']}", tenant.admin) == {
        "deleted": True,
        "id": rule["id"],
    }
    actions = [line["action"] for line in api.ok("GET", "/v1/audit", tenant.full)["audit"]]
    assert {"retention.set", "retention.applied", "retention.remove"} <= set(actions)


def test_empty_sessions_are_foretold_and_go(api: Server, tenant: Tenant) -> None:
    made = {}
    for name in ("empty", "full", "open"):
        body = {"projectId": tenant.project, "externalSessionId": name}
        made[name] = api.ok("POST", "/v1/sessions/start", tenant.full, body, status=201)["session"]["id"]
    memory = {"projectId": tenant.project, "content": "c", "serverSessionId": made["full"]}
    api.ok("POST", "/v1/memories", tenant.full, memory, status=201)
    for name in ("empty", "full"):
        job = api.ok("POST", f"/v1/sessions/{made[name]}/end", tenant.full, {})["generationJob"]["id"]
        api.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    past = "now() - interval '9 days'" if api.services.database.name == "postgres" else "1"
    api.execute(
        f"UPDATE server_sessions SET ended_at = {past} WHERE team_id = '{tenant.team}' AND ended_at IS NOT NULL"
    )
    rule = {"subject": "sessions", "maxAgeDays": 7}
    assert api.call("POST", "/v1/retention", tenant.admin, rule | {"kinds": ["x"]}).status_code == 400
    api.ok("POST", "/v1/retention", tenant.admin, rule, status=201)
    api.run(service.RetentionService(api.services.database).run_due())
    assert api.ok("GET", "/v1/retention", tenant.full)["rules"][0]["lastRemoved"] == 1
    found = {
        name: api.call("GET", f"/v1/sessions/{one}", tenant.full).status_code for name, one in made.items()
    }
    assert found == {"empty": 404, "full": 200, "open": 200}


def test_rules_are_an_administrators_and_stay_within_the_team(api: Server, tenant: Tenant) -> None:
    other = api.tenant()
    rule = api.ok("POST", "/v1/retention", tenant.admin, RULE, status=201)["rule"]
    for key in (tenant.full, tenant.scoped, tenant.hook):
        assert api.call("POST", "/v1/retention", key, RULE).status_code == 403
        assert api.call("DELETE", f"/v1/retention/{rule['id']}", key).status_code == 403
    assert api.call("DELETE", f"/v1/retention/{rule['id']}", other.admin).status_code == 404
    assert api.ok("GET", "/v1/retention", other.admin)["rules"] == []
    foreign = RULE | {"projectId": tenant.project}
    assert api.call("POST", "/v1/retention", other.admin, foreign).status_code == 403
    path = f"/v1/retention/preview?projectId={tenant.project}"
    assert api.call("GET", path, other.admin).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"subject": "teams", "maxAgeDays": 1},
        {"subject": "events"},
        {"subject": "events", "maxAgeDays": 0},
        {"subject": "events", "keepLast": 1, "keepSummaries": True},
        {"subject": "events", "keepLast": 1, "kinds": []},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(api: Server, tenant: Tenant, body: Any) -> None:
    assert api.call("POST", "/v1/retention", tenant.admin, body).status_code == 400
    assert api.ok("GET", "/v1/retention", tenant.admin)["rules"] == []


def test_a_server_carries_rules_out_by_itself(sqlite_storage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "LOOK_S", 0.05)
    with Server(sqlite_storage.settings.sqlite_path.parent) as server:
        tenant = server.tenant()
        event = sent_long_ago(server, tenant, tenant.project)
        server.ok("POST", "/v1/retention", tenant.admin, RULE, status=201)
        deadline = time.monotonic() + PATIENCE_S
        while server.call("GET", f"/v1/events/{event}", tenant.full).status_code != 404:
            assert time.monotonic() < deadline, "the rule is not carried out"


def test_rules_at_the_command_line(api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in api.environment.items():
        monkeypatch.setenv(name, value)

    def told(*arguments: str, expect: int = 0) -> Any:
        command = ["server", "retention", *arguments, "--team", tenant.team]
        result = CliRunner().invoke(application(), command)
        assert result.exit_code == expect, (result.stdout, result.stderr, result.exception)
        return json.loads(result.stdout) if expect == 0 else result.stderr

    event = sent_long_ago(api, tenant, tenant.project)
    rule = told("add", "events", "--max-age-days", "30", "--kind", "tool_use", "--kind", "other")
    assert rule["kinds"] == ["tool_use", "other"]
    assert [one["id"] for one in told("list")["rules"]] == [rule["id"]]
    foretold = told("run", "--dry-run")
    assert [removal["count"] for removal in foretold["removals"] if removal["count"]] == [1]
    assert api.call("GET", f"/v1/events/{event}", tenant.full).status_code == 200
    assert [removal["count"] for removal in told("run")["removals"]] == [1]
    assert api.call("GET", f"/v1/events/{event}", tenant.full).status_code == 404
    assert told("remove", rule["id"]) == {"deleted": True, "id": rule["id"]}
    assert "not found" in told("remove", rule["id"], expect=3)
    assert "subject" in told("add", "teams", "--keep-last", "1", expect=2)
