"""Usage and budgets over HTTP: figures, who sees what, and who may change what."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from claude_mem.model.identity import new_id
from claude_mem.storage import usage
from tests.support.http import Server, Tenant, event_body

SUMS = ("calls", "failedCalls", "tokens", "inputTokens", "outputTokens", "costUsd", "unpricedTokens")


pytestmark = pytest.mark.usefixtures("within_a_day")


def spend(
    api: Server, tenant: Tenant, *, project: str | None, day: datetime | None = None, **metadata: Any
) -> None:
    """A call with 100 tokens in and 10 out, now unless another time is named."""
    given = {"model": "claude-sonnet-5", "lane": "event", "inputTokens": 100, "outputTokens": 10} | metadata
    row = usage.UsageRow(
        team_id=tenant.team,
        project_id=project,
        kind="tokens",
        quantity=110,
        at_us=int((day or datetime.now(UTC)).timestamp() * 1_000_000),
        metadata=given,
    )
    api.run(usage.append(api.services.database, [row]))


def lines(api: Server, key: str, by: str, more: str = "") -> dict[str | None, tuple[Any, ...]]:
    """The breakdown's lines by their value."""
    body = api.ok("GET", f"/v1/usage/breakdown?by={by}{more}", key)
    assert body["by"] == by
    return {
        next(value for name, value in line.items() if name not in SUMS): tuple(line[name] for name in SUMS)
        for line in body["lines"]
    }


ONE = (1, 0, 110, 100, 10, 0.0003, 0)


def test_usage_keeps_its_answer(api: Server, tenant: Tenant) -> None:
    spend(api, tenant, project=tenant.project)
    body = api.ok("GET", "/v1/usage", tenant.scoped)
    assert set(body) == {"since", "usage"}
    assert body["usage"]["tokens"] == 110


def test_usage_is_told_apart_by_what_is_asked_for(api: Server, tenant: Tenant) -> None:
    spend(api, tenant, project=tenant.project)
    spend(api, tenant, project=tenant.sibling, lane="summary", failed=True)
    spend(api, tenant, project=None, model="nobody-knows-it")
    none = (1, 0, 110, 100, 10, None, 110)
    failed = (1, 1, 110, 100, 10, 0.0003, 0)
    assert lines(api, tenant.read, "project") == {tenant.project: ONE, tenant.sibling: failed, None: none}
    assert lines(api, tenant.read, "model") == {
        "claude-sonnet-5": (2, 1, 220, 200, 20, 0.0006, 0),
        "nobody-knows-it": none,
    }
    assert lines(api, tenant.read, "lane") == {
        "event": (2, 0, 220, 200, 20, 0.0003, 110),
        "summary": failed,
    }
    assert lines(api, tenant.read, "day") == {
        f"{datetime.now(UTC):%Y-%m-%d}": (3, 1, 330, 300, 30, 0.0006, 110)
    }
    body = api.ok("GET", "/v1/usage/breakdown?by=project&limit=1", tenant.read)
    assert (len(body["lines"]), body["more"], body["unpricedModels"]) == (1, 2, ["nobody-knows-it"])
    assert tuple(body["total"][name] for name in SUMS) == (3, 1, 330, 300, 30, 0.0006, 110)


def test_a_session_is_found_by_the_row_or_by_its_job(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "externalSessionId": new_id(), "platformSource": "claude"}
    session = api.ok("POST", "/v1/sessions/start", tenant.full, body, status=201)["session"]["id"]
    event = event_body(tenant.project, serverSessionId=session)
    job = api.ok("POST", "/v1/events", tenant.full, event, status=201)["generationJob"]["id"]
    spend(api, tenant, project=tenant.project, jobId=job)
    spend(api, tenant, project=tenant.project, serverSessionId=session)
    spend(api, tenant, project=tenant.project, jobId="gone")
    assert lines(api, tenant.read, "session") == {session: (2, 0, 220, 200, 20, 0.0006, 0), None: ONE}


def test_a_question_is_about_whole_days(api: Server, tenant: Tenant) -> None:
    for days in (0, 1, 2):
        spend(
            api,
            tenant,
            project=tenant.project,
            day=datetime(2026, 3, 1, 12, tzinfo=UTC) + timedelta(days=days),
        )
    found = lines(api, tenant.read, "day", "&since=2026-03-01T23:00:00Z&until=2026-03-02T00:00:01Z")
    assert list(found) == ["2026-03-01", "2026-03-02"]
    body = api.ok("GET", "/v1/usage/breakdown?by=model&since=2026-03-02&until=2026-03-03", tenant.read)
    assert (body["since"], body["until"]) == ("2026-03-02T00:00:00.000Z", "2026-03-03T00:00:00.000Z")
    assert body["total"]["calls"] == 1
    assert api.ok("GET", "/v1/usage/breakdown?since=2026-03-02&until=2026-03-02", tenant.read)["lines"] == []
    far = api.ok("GET", "/v1/usage/breakdown?since=-001000-01-01&until=%2B200000-01-01", tenant.read)
    assert far["total"]["calls"] == 3


def test_a_projects_key_sees_its_project(api: Server, tenant: Tenant) -> None:
    spend(api, tenant, project=tenant.project)
    spend(api, tenant, project=tenant.sibling)
    spend(api, tenant, project=None)
    for by in ("day", "model", "lane", "project", "session"):
        assert [sums[0] for sums in lines(api, tenant.scoped, by).values()] == [1], by
    assert lines(api, tenant.read, "project", f"&projectId={tenant.sibling}") == {tenant.sibling: ONE}
    path = f"/v1/usage/breakdown?projectId={tenant.sibling}"
    assert api.call("GET", path, tenant.scoped).status_code == 403
    assert api.call("GET", "/v1/usage/breakdown?projectId=nobodys", tenant.read).status_code == 403
    other = api.tenant("other")
    assert api.ok("GET", "/v1/usage/breakdown", other.read)["total"]["calls"] == 0
    assert api.call("GET", f"/v1/usage/breakdown?projectId={tenant.project}", other.read).status_code == 403


@pytest.mark.parametrize("query", ["by=team", "by=hour", "since=soon", "until=2026-13-01"])
def test_questions_that_are_not_understood_are_refused(api: Server, tenant: Tenant, query: str) -> None:
    response = api.call("GET", f"/v1/usage/breakdown?{query}", tenant.read)
    assert (response.status_code, response.json()["error"]) == (400, "ValidationError")


def test_a_budget_is_set_shown_replaced_and_removed(api: Server, tenant: Tenant) -> None:
    spend(api, tenant, project=tenant.project)
    default = api.ok("GET", "/v1/usage/budget", tenant.read)["budgets"]
    assert [(one["isDefault"], one["period"], one["tokens"]) for one in default] == [
        (True, "day", 20_000_000)
    ]
    assert default[0]["spentTokens"] == 110
    body = {"period": "day", "tokens": 120, "usd": 1.5, "projectId": tenant.project}
    made = api.ok("PUT", "/v1/budgets", tenant.admin, body)["budget"]
    assert made == {
        "id": made["id"],
        "scope": "project",
        "projectId": tenant.project,
        "period": "day",
        "isDefault": False,
        "tokens": 120,
        "spentTokens": 110,
        "remainingTokens": 10,
        "usd": 1.5,
        "spentUsd": 0.0003,
        "remainingUsd": 1.4997,
        "unpricedTokens": 0,
        "warnPercent": 80,
        "state": "warning",
        "warning": True,
        "resetsAt": made["resetsAt"],
        "resetsAtEpoch": made["resetsAtEpoch"],
    }
    again = api.ok("PUT", "/v1/budgets", tenant.admin, body | {"tokens": 110})["budget"]
    assert (again["id"], again["state"], again["remainingTokens"]) == (made["id"], "spent", 0)
    assert len(api.ok("GET", "/v1/usage/budget", tenant.read)["budgets"]) == 2
    assert len(api.ok("GET", "/v1/usage/budget", tenant.scoped)["budgets"]) == 2
    sibling = api.ok("GET", "/v1/usage/budget", tenant.sibling_key)["budgets"]
    assert [one["scope"] for one in sibling] == ["team"]

    path = f"/v1/budgets?period=day&projectId={tenant.project}"
    assert api.ok("DELETE", path, tenant.admin)["deleted"] is True
    assert api.call("DELETE", path, tenant.admin).status_code == 404
    audit = api.ok("GET", "/v1/audit", tenant.read)["audit"]
    actions = [entry["action"] for entry in audit if entry["resourceType"] == "budget"]
    assert actions == ["budget.remove", "budget.set", "budget.set"]


def test_a_team_may_lift_the_default(api: Server, tenant: Tenant) -> None:
    made = api.ok("PUT", "/v1/budgets", tenant.star, {"period": "day", "tokens": 0})["budget"]
    assert (made["scope"], made["tokens"], made["remainingTokens"], made["state"]) == (
        "team",
        None,
        None,
        "ok",
    )
    assert len(api.ok("GET", "/v1/usage/budget", tenant.read)["budgets"]) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"tokens": 5},
        {"period": "week", "tokens": 5},
        {"period": "day"},
        {"period": "day", "tokens": -1},
        {"period": "day", "tokens": True},
        {"period": "day", "tokens": 1.5},
        {"period": "day", "tokens": 2**53},
        {"period": "day", "usd": -0.5},
        {"period": "day", "usd": "5"},
        {"period": "day", "tokens": 5, "warnPercent": 0},
        {"period": "day", "tokens": 5, "projectId": ""},
    ],
)
def test_budgets_that_make_no_sense_are_refused(api: Server, tenant: Tenant, body: dict[str, Any]) -> None:
    response = api.call("PUT", "/v1/budgets", tenant.admin, body)
    assert (response.status_code, response.json()["error"]) == (400, "ValidationError")


def test_changing_budgets_is_for_administrators_of_the_team(api: Server, tenant: Tenant) -> None:
    body = {"period": "day", "tokens": 5}
    for key in (tenant.full, tenant.scoped, tenant.hook, tenant.read, tenant.revoked):
        assert api.call("PUT", "/v1/budgets", key, body).status_code == 403
        assert api.call("DELETE", "/v1/budgets?period=day", key).status_code == 403
    other = api.tenant("other")
    foreign = body | {"projectId": other.project}
    assert api.call("PUT", "/v1/budgets", tenant.admin, foreign).status_code == 403
    assert api.call("DELETE", "/v1/budgets", tenant.admin).status_code == 400
