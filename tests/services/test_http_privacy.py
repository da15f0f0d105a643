"""What is private, or a secret of a known format, reaches no table, no log and no answer, whichever way it is sent."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.test_tenancy_everywhere import logged
from tests.support.http import Server, Tenant, event_body

SECRET = "ghp_" + "Zq7Kd2Lm9Xw4" * 3
PRIVATE = "quetzalcoatl"
#: A text with one of each in it.
LOADED = f"before <private>{PRIVATE}</private> {SECRET} after"
CLEAN = "before  [REDACTED:github] after"


@pytest.fixture(autouse=True)
def nothing_leaks(api: Server) -> Iterator[None]:
    """Neither mark is anywhere once the test has run."""
    with logged() as log:
        yield
        logging.getLogger("claude_mem").info("a line of the log")
    assert "a line of the log" in "".join(log)
    for line in log:
        assert SECRET not in line, line
        assert PRIVATE not in line, line
    dump = api.dump()
    for row in dump.splitlines():
        assert SECRET not in row, row
        assert PRIVATE not in row, row


def call(api: Server, method: str, path: str, key: str, body: Any) -> Any:
    answer = api.call(method, path, key, body)
    assert SECRET not in answer.text
    assert PRIVATE not in answer.text
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()


@pytest.mark.parametrize("batch", [False, True])
def test_an_event(api: Server, tenant: Tenant, batch: bool) -> None:
    body = event_body(
        tenant.project,
        eventType=LOADED,
        payload={"deep": [{LOADED: LOADED}], "n": 1},
        metadata={"note": LOADED},
        sourceEventId=LOADED,
        contentSessionId=LOADED,
        memorySessionId=LOADED,
        platformSource=LOADED,
        unknown=LOADED,
    )
    if batch:
        (entry,) = call(api, "POST", "/v1/events/batch", tenant.full, [body])["events"]
    else:
        entry = call(api, "POST", "/v1/events", tenant.full, body)
    event = entry["event"]
    assert event["payload"] == {"deep": [{CLEAN: CLEAN}], "n": 1}
    assert (event["eventType"], event["metadata"]) == (CLEAN, {"note": CLEAN})
    assert entry["redactions"] >= 8
    again = call(api, "POST", "/v1/events", tenant.full, body)
    assert again["duplicate"] is True
    assert again["event"]["id"] == event["id"]


def test_ids_that_hold_secrets_stay_different(api: Server, tenant: Tenant) -> None:
    other = SECRET[:-4] + "0000"
    made = {
        call(
            api,
            "POST",
            "/v1/sessions/start",
            tenant.full,
            {"projectId": tenant.project, "externalSessionId": one},
        )["session"]["id"]
        for one in (SECRET, other, SECRET)
    }
    assert len(made) == 2


def test_a_session_and_the_events_that_look_for_it(api: Server, tenant: Tenant) -> None:
    body = {
        "projectId": tenant.project,
        "externalSessionId": LOADED,
        "contentSessionId": LOADED,
        "agentId": LOADED,
        "agentType": LOADED,
        "platformSource": LOADED,
        "metadata": {"prompt": LOADED},
    }
    started = call(api, "POST", "/v1/sessions/start", tenant.full, body)
    assert started["session"]["metadata"] == {"prompt": CLEAN}
    assert started["redactions"] >= 2
    again = api.call("POST", "/v1/sessions/start", tenant.full, body)
    assert (again.status_code, again.json()["session"]["id"]) == (200, started["session"]["id"])
    event = event_body(tenant.project, contentSessionId=LOADED, platformSource=LOADED)
    linked = call(api, "POST", "/v1/events", tenant.full, event)
    assert linked["event"]["serverSessionId"] == started["session"]["id"]


def test_a_memory(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": LOADED, "kind": LOADED, "metadata": {"a": LOADED}}
    made = call(api, "POST", "/v1/memories", tenant.full, body | {"title": LOADED, "type": LOADED})
    memory = made["memory"]
    assert (memory["content"], memory["kind"]) == (CLEAN, CLEAN)
    assert memory["metadata"] == {"a": CLEAN, "title": CLEAN, "type": CLEAN}
    assert made["redactions"] == 10
    changed = call(
        api,
        "PATCH",
        f"/v1/memories/{memory['id']}",
        tenant.full,
        {"content": LOADED, "kind": LOADED, "metadata": {LOADED: 1}},
    )
    assert changed["redactions"] == 6
    api.call("GET", f"/v1/memories?kind={SECRET}&serverSessionId={SECRET}&projectId={SECRET}", tenant.full)


def test_a_memory_of_nothing_but_secrets_is_refused(api: Server, tenant: Tenant) -> None:
    body = {"projectId": tenant.project, "content": f" <PRIVATE>{PRIVATE} <private>{PRIVATE}"}
    answer = api.call("POST", "/v1/memories", tenant.full, body)
    assert answer.status_code == 400
    assert answer.json()["issues"][0]["path"] == ["content"]


def test_an_event_of_nothing_but_secrets_is_kept_empty(api: Server, tenant: Tenant) -> None:
    made = call(
        api, "POST", "/v1/events", tenant.full, event_body(tenant.project, payload=f"<private>{PRIVATE}")
    )
    assert made["event"]["payload"] == ""
    assert made["generationJob"] is not None


@pytest.mark.parametrize("path", ["/v1/search", "/v1/context"])
def test_a_question(api: Server, tenant: Tenant, path: str) -> None:
    body = {"projectId": tenant.project, "query": LOADED, "platformSource": LOADED}
    call(api, "POST", path, tenant.full, body)
    entry = api.ok("GET", "/v1/audit", tenant.full)["audit"][0]
    assert entry["details"]["query"] == CLEAN


def test_names(api: Server, tenant: Tenant) -> None:
    key = call(api, "POST", "/v1/keys", tenant.full, {"label": LOADED})
    listed = api.ok("GET", "/v1/keys", tenant.full)["keys"]
    assert next(found for found in listed if found["id"] == key["id"])["name"] == CLEAN
    call(api, "POST", "/v1/keys", tenant.full, {"name": LOADED})
    made = call(api, "POST", "/v1/projects", tenant.full, {"name": LOADED, "metadata": {"a": LOADED}})
    assert (made["project"]["name"], made["project"]["metadata"]) == (CLEAN, {"a": CLEAN})
    again = call(api, "POST", "/v1/projects", tenant.full, {"name": LOADED})
    assert again["project"]["id"] == made["project"]["id"]
    call(api, "PATCH", f"/v1/projects/{made['project']['id']}", tenant.full, {"name": LOADED})
    call(api, "PATCH", f"/v1/teams/{tenant.team}", tenant.admin, {"name": LOADED})


def test_older_hooks(api: Server, tenant: Tenant) -> None:
    body = {
        "contentSessionId": LOADED,
        "tool_name": LOADED,
        "tool_input": {LOADED: LOADED},
        "tool_response": LOADED,
        "cwd": LOADED,
        "agentId": LOADED,
        "agentType": LOADED,
        "platformSource": LOADED,
        "tool_use_id": LOADED,
        "last_assistant_message": LOADED,
    }
    answer = api.call("POST", "/api/sessions/observations", tenant.scoped, body)
    assert answer.status_code == 200, answer.text
    same = api.call("POST", "/api/sessions/observations", tenant.scoped, body)
    assert same.json()["eventId"] == answer.json()["eventId"]
    ended = api.call(
        "POST", "/api/sessions/summarize", tenant.scoped, body | {"agentId": None, "platformSource": LOADED}
    )
    assert ended.json()["serverSessionId"] == answer.json()["serverSessionId"]


def test_what_stands_in_paths_queries_and_headers(api: Server, tenant: Tenant) -> None:
    headers = {"X-Request-Id": SECRET, "User-Agent": SECRET, "X-Api-Key": tenant.full}
    for method, path in (
        ("GET", f"/v1/events/{SECRET}"),
        ("GET", f"/v1/events/{SECRET}/observations"),
        ("GET", f"/v1/jobs/{SECRET}"),
        ("GET", f"/v1/jobs?status={SECRET}&since={SECRET}&include={SECRET}"),
        ("GET", f"/v1/audit?action={SECRET}&resourceId={SECRET}&cursor={SECRET}"),
        ("DELETE", f"/v1/memories/{SECRET}"),
        ("DELETE", f"/v1/projects/{SECRET}/memory"),
        ("GET", f"/{SECRET}"),
    ):
        assert api.call(method, path, headers=headers).status_code < 500
    assert api.call("GET", "/v1/usage", SECRET).status_code == 403


def test_text_without_anything_private_is_kept_byte_for_byte(api: Server, tenant: Tenant) -> None:
    text = "  da39a3ee5e6b4b0d3255bfef95601890afd80709 <b>bold</b> privately\r\n\t€ 😀 \u2028 "
    made = call(
        api, "POST", "/v1/events", tenant.full, event_body(tenant.project, payload=[text, {text: 1.5}])
    )
    assert made["event"]["payload"] == [text, {text: 1.5}]
    assert "redactions" not in made
    memory = call(api, "POST", "/v1/memories", tenant.full, {"projectId": tenant.project, "content": text})
    assert memory["memory"]["content"] == text
