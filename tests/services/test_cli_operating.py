"""Keys, jobs, teams and projects at the command line, beside a running server that must agree at once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from claude_mem.cli.main import application
from claude_mem.client import settings as client_settings
from claude_mem.model.documents import Document
from claude_mem.model.times import now_us
from claude_mem.storage import work as storage_work
from tests.support.http import Server, Tenant, event_body

pytestmark = pytest.mark.services

FULL = "events:write,sessions:write,observations:read,jobs:read,memories:read,memories:write"


class CommandLine:
    """`claude-mem server …` on the database of a running server."""

    def run(self, *arguments: str, expect: int = 0) -> Result:
        result = CliRunner().invoke(application(), ["server", *arguments])
        assert result.exit_code == expect, (result.exit_code, result.stdout, result.stderr, result.exception)
        return result

    def json(self, *arguments: str) -> Any:
        """The one JSON document that stdout holds."""
        return json.loads(self.run(*arguments).stdout)

    def refused(self, *arguments: str, status: int = 1) -> str:
        """What is said of a command that cannot be done; stdout stays empty."""
        result = self.run(*arguments, expect=status)
        assert result.stdout == ""
        return result.stderr


@pytest.fixture
def cli(api: Server, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    for name, value in api.environment.items():
        monkeypatch.setenv(name, value)
    return CommandLine()


def make_job(api: Server, tenant: Tenant) -> str:
    """The job of a new event, which stays queued."""
    answer = api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project), status=201)
    return str(answer["generationJob"]["id"])


def end_job(api: Server, job_id: str, *, error: dict[str, str] | None) -> None:
    """Take a job as a worker would, and complete it or fail it with an error."""
    database = api.services.database

    async def work() -> None:
        terms = storage_work.ClaimTerms(worker="test", lease_us=60_000_000, mates=1, patience_us=0)
        taken = await storage_work.claim(database, terms, limit=10_000, now_us=now_us() + 10_000_000)
        assert job_id in {job.id for job in taken}
        if error is None:
            await storage_work.complete(database, [job_id], now_us=now_us())
        else:
            failed = storage_work.Setback(job_id, "failed", Document.of(error))
            await storage_work.set_back(database, [failed], now_us=now_us())

    api.run(work())


def audited(api: Server, action: str, resource_id: str) -> list[dict[str, Any]]:
    """Lines of the audit log about something, their details opened."""
    query = f"SELECT details FROM audit_log WHERE action = '{action}' AND resource_id = '{resource_id}'"
    database: Any = api.services.database

    async def read() -> list[Any]:
        if database.name == "sqlite":
            return [row[0] for row in await database._reader.execute_fetchall(query)]
        async with database._pool.acquire() as connection:
            return [row[0] for row in await connection.fetch(query)]

    return [json.loads(details) for details in api.run(read())]


def test_a_created_key_works_and_a_revoked_one_fails_on_the_very_next_request(
    api: Server, cli: CommandLine
) -> None:
    made = cli.json("api-key", "create", "--name", "e2e", "--scope", FULL, "--json")
    assert list(made) == ["id", "key", "name", "teamId", "projectId", "scopes"]
    assert re.fullmatch(r"cmem_[0-9a-f]{48}", made["key"])
    assert (made["name"], made["scopes"]) == ("e2e", FULL.split(","))
    assert api.call("GET", "/v1/connect", made["key"]).status_code == 200
    read = cli.json("api-key", "create", "--scopes", "observations:read", "--scopes", "jobs:read")
    assert read["projectId"] == made["projectId"]
    assert read["scopes"] == ["observations:read", "jobs:read"]
    assert audited(api, "api_key.create", made["id"])

    assert cli.json("api-key", "revoke", made["id"]) == {"id": made["id"], "status": "revoked"}
    assert api.call("GET", "/v1/connect", made["key"]).status_code == 403
    assert api.call("GET", "/v1/connect", read["key"]).status_code == 200
    assert audited(api, "api_key.revoke", made["id"]) == [{"source": "server-cli"}]
    assert "already revoked" in cli.refused("api-key", "revoke", made["id"])
    assert "no API key 'lost'" in cli.refused("api-key", "revoke", "lost")


def test_a_key_reads_unless_it_is_told_more(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    made = cli.json("api-key", "create")
    assert (made["name"], made["scopes"]) == ("server-api-key", ["memories:read"])
    assert api.call("POST", "/v1/events", made["key"], event_body(tenant.project)).status_code == 403
    assert "unknown scope 'everything'" in cli.refused("api-key", "create", "--scope", "everything", status=2)


def test_a_team_alone_gives_a_key_for_all_of_it(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    before = cli.json("keys", "--team", tenant.team)["count"]
    made = cli.json("api-key", "create", "--team", tenant.team, "--scope", "memories:write")
    assert (made["teamId"], made["projectId"]) == (tenant.team, None)
    for project in (tenant.project, tenant.sibling):
        assert api.call("POST", "/v1/events", made["key"], event_body(project)).status_code == 201
    assert cli.json("keys", "--team", tenant.team)["count"] == before + 1
    narrow = cli.json("api-key", "create", "--project", tenant.project, "--scope", "memories:write")
    assert (narrow["teamId"], narrow["projectId"]) == (tenant.team, tenant.project)
    assert api.call("POST", "/v1/events", narrow["key"], event_body(tenant.sibling)).status_code == 403


def test_a_team_or_project_that_does_not_exist_is_named(cli: CommandLine, tenant: Tenant) -> None:
    assert "no team 'lost'" in cli.refused("api-key", "create", "--team", "lost", status=3)
    assert "no project 'lost'" in cli.refused("api-key", "create", "--project", "lost", status=3)
    mixed = cli.refused("api-key", "create", "--project", tenant.project, "--team", "other", status=3)
    assert "in team 'other'" in mixed


def test_keys_are_listed_without_what_could_be_used(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    listed = cli.json("api-key", "list", "--team", tenant.team, "--limit", "20", "--json")
    assert (listed["teamId"], listed["limit"], listed["offset"]) == (tenant.team, 20, 0)
    status = {key["name"]: key["status"] for key in listed["keys"]}
    assert (status["full"], status["revoked"], status["expired"]) == ("active", "revoked", "expired")
    shape = {
        "id",
        "name",
        "prefix",
        "teamId",
        "projectId",
        "scopes",
        "status",
        "lastUsedAt",
        "expiresAt",
        "createdAt",
    }
    assert all(key.keys() == shape for key in listed["keys"])
    assert tenant.full not in json.dumps(listed)
    working = cli.json("keys", "--team", tenant.team)
    assert {key["status"] for key in working["keys"]} == {"active"}
    second = cli.json("api-key", "list", "--team", tenant.team, "--limit", "1", "--offset", "1")
    assert second["keys"] == [listed["keys"][1]]


def test_rotation_may_leave_the_old_key_some_time(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    first = cli.json("api-key", "create", "--name", "ci", "--team", tenant.team, "--expires-in-days", "3")
    second = cli.json("api-key", "rotate", first["id"], "--overlap-seconds", "600")
    assert second["replaces"] == first["id"]
    assert (second["name"], second["scopes"]) == ("ci", first["scopes"])
    assert [api.call("GET", "/v1/connect", made["key"]).status_code for made in (first, second)] == [200, 200]
    third = cli.json("api-key", "rotate", second["id"])
    assert [api.call("GET", "/v1/connect", made["key"]).status_code for made in (second, third)] == [403, 200]
    assert audited(api, "api_key.rotate", second["id"])
    assert "cannot be rotated" in cli.refused("api-key", "rotate", second["id"])
    cli.refused("api-key", "rotate", "lost", status=3)


def test_scopes_of_an_old_hook_key_are_migrated(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    changed = cli.json("api-key", "migrate-scopes", tenant.ids["read"])
    assert changed == {
        "id": tenant.ids["read"],
        "scopes": ["memories:read", "memories:write"],
        "status": "scopes-migrated",
    }
    assert api.call("POST", "/v1/events", tenant.read, event_body(tenant.project)).status_code == 201
    assert audited(api, "api_key.migrate_scopes", tenant.ids["read"])[0]["previousScopes"] == [
        "memories:read"
    ]
    assert "revoked" in cli.refused("api-key", "migrate-scopes", tenant.ids["revoked"])
    cli.refused("api-key", "migrate-scopes", "lost")


def test_the_users_own_key_is_replaced_in_the_settings_file(
    api: Server, cli: CommandLine, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(api.directory) / "settings.json"
    assert "holds no key" in cli.refused("keys", "rotate")
    path.write_text(json.dumps({"env": {"CLAUDE_MEM_SERVER_BETA_API_KEY": tenant.hook}, "kept": 1}))
    try:
        result = cli.run("keys", "rotate")
        rotated = json.loads(result.stdout)
        assert rotated == {
            "rotated": True,
            "apiKeyId": rotated["apiKeyId"],
            "teamId": tenant.team,
            "projectId": tenant.project,
            "settingsPath": str(path),
        }
        stored = json.loads(path.read_text())
        raw = stored[client_settings.SERVER_API_KEY]
        assert stored["kept"] == 1
        assert path.stat().st_mode & 0o777 == 0o600
        assert raw not in result.output
        assert [api.call("GET", "/v1/connect", key).status_code for key in (tenant.hook, raw)] == [403, 200]
        monkeypatch.setenv(client_settings.SERVER_API_KEY, "cmem_another")
        assert "comes before the file" in cli.run("keys", "rotate").stderr
        path.write_text(json.dumps({client_settings.SERVER_API_KEY: "cmem_unknown"}))
        assert "not one of this database's" in cli.refused("keys", "rotate")
    finally:
        path.unlink()


def test_jobs_are_cancelled_and_tried_again_as_over_http(
    api: Server, cli: CommandLine, tenant: Tenant
) -> None:
    job_id = make_job(api, tenant)
    team = ("--team", tenant.team)
    path = f"/v1/jobs/{job_id}"
    assert cli.json("jobs", "retry", job_id, *team) == {
        "id": job_id,
        "action": "retry",
        "outcome": "noop_already_queued",
        "retriedCount": 0,
    }
    cancelled = {"id": job_id, "action": "cancel", "outcome": "cancelled", "status": "cancelled"}
    assert cli.json("jobs", "cancel", job_id, *team) == cancelled
    assert api.ok("GET", path, tenant.full)["generationJob"]["status"] == "cancelled"
    assert cli.json("jobs", "cancel", job_id, *team)["outcome"] == "noop_already_cancelled"
    assert api.ok("POST", f"{path}/cancel", tenant.full)["alreadyCancelled"] is True

    again = cli.json("jobs", "retry", job_id, *team)
    assert (again["outcome"], again["retriedCount"], again["status"], again["attempts"]) == (
        "requeued",
        1,
        "queued",
        0,
    )
    assert api.ok("GET", path, tenant.full)["generationJob"]["status"] == "queued"
    assert cli.json("jobs", "inspect", job_id)["payload"]["last_retried_by"] == "cli_operator"
    api.ok("POST", f"{path}/cancel", tenant.full)
    assert api.ok("POST", f"{path}/retry", tenant.full)["retriedCount"] == 2

    row = cli.json("jobs", "inspect", job_id)
    assert (row["status"], row["team_id"], row["payload"]["generation_job_id"]) == (
        "queued",
        tenant.team,
        job_id,
    )
    assert row["payload"]["retried_count"] == 2
    assert row["created_at"].endswith("Z")
    sources = [line["details"].get("source") for line in row["history"]]
    assert sources[1:] == ["cli_operator_cancel", "cli_operator_retry", "operator_cancel", "operator_retry"]
    entries = audited(api, "generation_job.cancelled_by_operator", job_id)
    (entry,) = [found for found in entries if "source" in found]
    assert entry["source"] == "cli_operator"


def test_a_completed_job_can_neither_be_tried_again_nor_cancelled(
    api: Server, cli: CommandLine, tenant: Tenant
) -> None:
    job_id = make_job(api, tenant)
    end_job(api, job_id, error=None)
    for command in ("retry", "cancel"):
        assert "completed and cannot be" in cli.refused("jobs", command, job_id, "--team", tenant.team)
        assert api.call("POST", f"/v1/jobs/{job_id}/{command}", tenant.full).status_code == 409


def test_failures_are_listed_with_their_reason(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    job_id = make_job(api, tenant)
    error = {"reason": "the provider said no", "classification": "auth_invalid"}
    end_job(api, job_id, error=error)
    listed = cli.json("jobs", "failed", "--project", tenant.project)
    assert (listed["scope"], listed["limit"], listed["count"]) == (
        {"team": None, "project": tenant.project},
        20,
        1,
    )
    (failure,) = listed["failed"]
    assert (failure["id"], failure["lastError"], failure["attempts"]) == (job_id, error, 1)
    assert failure["failedAt"].endswith("Z")
    assert cli.json("jobs", "inspect", job_id)["last_error"] == error
    assert cli.json("jobs", "retry", job_id, "--project", tenant.project)["outcome"] == "requeued"


def test_jobs_outside_the_scope_are_not_there(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    job_id = make_job(api, tenant)
    for command in ("retry", "cancel"):
        assert "within this scope" in cli.refused("jobs", command, job_id, "--team", "another")
        assert "within this scope" in cli.refused("jobs", command, job_id, "--project", tenant.sibling)
        assert "within this scope" in cli.refused("jobs", command, "lost", "--team", tenant.team)
    assert "no job 'lost'" in cli.refused("jobs", "inspect", "lost")


def test_jobs_are_counted_and_listed(api: Server, cli: CommandLine, tenant: Tenant) -> None:
    made = [make_job(api, tenant) for _ in range(3)]
    cli.run("jobs", "cancel", made[0], "--team", tenant.team)
    report = cli.json("jobs", "status", "--team", tenant.team)
    assert report["scope"] == {"team": tenant.team, "project": None}
    assert report["postgres"] == {"queued": 2, "cancelled": 1}
    if api.storage == "postgres":
        assert report["bullmq"] == {"unavailable": True}
        assert report["divergence"] == {"reason": "bullmq_unavailable"}
    else:
        names = {"waiting", "active", "completed", "failed", "delayed", "stalled"}
        assert report["bullmq"].keys() == {"event", "summary"}
        assert report["bullmq"]["event"].keys() == names
        assert report["divergence"] == {}
    listed = cli.json("jobs", "list", "--team", tenant.team, "--status", "queued")
    assert (listed["status"], listed["count"]) == ("queued", 2)
    assert [job["id"] for job in listed["jobs"]] == made[:0:-1]
    shape = ["id", "projectId", "teamId", "sourceType", "status", "attempts", "createdAt"]
    assert list(listed["jobs"][0]) == shape
    assert cli.json("jobs", "--limit", "1")["jobs"] == listed["jobs"][:1]


def test_teams_and_projects_are_made_and_named(api: Server, cli: CommandLine) -> None:
    team = cli.json("team", "create", "  Platform  ")
    assert team["name"] == "Platform"
    assert team in cli.json("team", "list", "--limit", "500")["teams"]
    project = cli.json("project", "create", "monorepo", "--team", team["id"])
    assert project["teamId"] == team["id"]
    key = cli.json("api-key", "create", "--project", project["id"], "--scope", "memories:write")["key"]
    assert api.call("POST", "/v1/events", key, event_body(project["id"])).status_code == 201
    renamed = cli.json("project", "rename", project["id"], "mono")
    assert renamed == project | {"name": "mono"}
    for action, named, name in (
        ("team.create", team, "Platform"),
        ("project.create", project, "monorepo"),
        ("project.update", project, "mono"),
    ):
        assert audited(api, action, named["id"]) == [{"name": name, "source": "server-cli"}]
    listed = cli.json("project", "list", "--team", team["id"])
    assert (listed["count"], listed["projects"]) == (1, [renamed])
    assert renamed in cli.json("project", "list", "--limit", "500")["projects"]
    cli.refused("project", "create", "x", "--team", "lost", status=3)
    cli.refused("project", "rename", "lost", "x", status=3)


def test_a_projects_mode_and_language_are_chosen(api: Server, cli: CommandLine) -> None:
    team = cli.json("team", "create", "linguists")
    project = cli.json("project", "create", "corpus", "--team", team["id"])
    assert (project["mode"], project["language"]) == (None, None)
    chosen = cli.json("project", "set", project["id"], "--mode", "research", "--language", "German")
    assert chosen == project | {"mode": "research", "language": "German"}
    assert cli.json("project", "list", "--team", team["id"])["projects"] == [chosen]
    back = cli.json("project", "set", project["id"], "--language", "")
    assert back == project | {"mode": "research"}
    assert audited(api, "project.update", project["id"]) == [
        {"mode": "research", "language": "German", "source": "server-cli"},
        {"language": None, "source": "server-cli"},
    ]
    assert "code, research" in cli.refused("project", "set", project["id"], "--mode", "absent", status=2)
    assert "language" in cli.refused("project", "set", project["id"], "--language", "Klingon", status=2)
    cli.refused("project", "set", project["id"], status=2)
    cli.refused("project", "set", "lost", "--mode", "code", status=3)
