"""Timelines over HTTP: what lies around a memory and what happened in a session, in pages and within the scope."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem.model.times import now_us
from tests.support.http import Server, Tenant, event_body


class Story:
    """A project in which memories and events take turns, half of them in one session."""

    def __init__(self, api: Server, tenant: Tenant) -> None:
        self.api, self.tenant = api, tenant
        started = api.ok(
            "POST",
            "/v1/sessions/start",
            tenant.full,
            {"projectId": tenant.project, "externalSessionId": "s", "metadata": {"prompt": "Mend the queue"}},
            status=201,
        )
        self.session: str = started["session"]["id"]
        self.memories: list[str] = []
        self.order: list[tuple[str, str]] = []
        for number in range(6):
            body = {
                "projectId": tenant.project,
                "content": f"memory {number}",
                "metadata": {"title": f"Title {number}"},
                "kind": "summary" if number == 5 else "discovery",
                "serverSessionId": self.session if number % 2 else None,
            }
            made = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]
            self.memories.append(made["id"])
            self.order.append(("summary" if number == 5 else "observation", f"memory {number}"))
            payload = (
                {"prompt": f"prompt {number}"}
                if number == 0
                else {"tool_input": {"command": f"run {number}"}}
            )
            happened = event_body(
                tenant.project,
                serverSessionId=self.session,
                occurredAtEpoch=now_us() // 1000 + 1,
                payload=payload,
            )
            api.ok("POST", "/v1/events", tenant.full, happened, status=201)
            self.order.append(("prompt", "prompt 0") if number == 0 else ("event", f"run {number}"))

    def around(self, number: int, query: str = "", *, key: str | None = None) -> Any:
        path = f"/v1/memories/{self.memories[number]}/timeline?{query}"
        return self.api.ok("GET", path, key or self.tenant.full)


@pytest.fixture(scope="module")
def story(api: Server) -> Story:
    return Story(api, api.tenant())


def told(entries: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(entry["type"], entry["text"]) for entry in entries]


def test_a_memory_stands_between_what_came_before_and_after(story: Story) -> None:
    found = story.around(2, "before=3&after=2")
    assert found["memory"]["id"] == story.memories[2]
    assert told(found["before"]) == story.order[1:4]
    assert told(found["after"]) == story.order[5:7]
    assert found["before"][1]["title"] == "Title 1"
    assert found["sessions"] == [
        {
            "id": story.session,
            "platformSource": None,
            "prompt": "Mend the queue",
            "startedAtEpoch": found["sessions"][0]["startedAtEpoch"],
            "endedAtEpoch": None,
        }
    ]


def test_pages_lead_to_both_ends_without_gap_or_repetition(story: Story) -> None:
    first = story.around(3, "before=2&after=2")
    before, after = told(first["before"]), told(first["after"])
    cursor = first["olderCursor"]
    while cursor:
        page = story.around(3, f"before=2&after=2&cursor={cursor}")
        assert page["after"] == []
        before, cursor = told(page["before"]) + before, page["olderCursor"]
    cursor = first["newerCursor"]
    while cursor:
        page = story.around(3, f"before=2&after=2&cursor={cursor}")
        assert page["before"] == []
        after, cursor = after + told(page["after"]), page["newerCursor"]
    assert before == story.order[:6]
    assert after == story.order[7:]


def test_events_can_be_left_out(story: Story) -> None:
    found = story.around(3, "before=2&events=false")
    assert told(found["before"]) == [("observation", "memory 1"), ("observation", "memory 2")]
    assert told(found["after"]) == [("observation", "memory 4"), ("summary", "memory 5")]


def test_nothing_is_told_of_a_direction_without_entries(story: Story) -> None:
    found = story.around(3, "before=0&after=0")
    assert (found["before"], found["after"], found["olderCursor"], found["newerCursor"]) == (
        [],
        [],
        None,
        None,
    )


def test_memories_of_one_moment_are_each_told_once(api: Server, tenant: Tenant) -> None:
    made = [
        api.ok(
            "POST",
            "/v1/memories",
            tenant.full,
            {"projectId": tenant.project, "content": f"c{number}"},
            status=201,
        )["memory"]["id"]
        for number in range(7)
    ]
    moment = "'2026-01-01T00:00:00Z'" if api.storage == "postgres" else "1767225600000000"
    listed = ", ".join(f"'{identity}'" for identity in made)
    api.execute(f"UPDATE observations SET created_at = {moment} WHERE id IN ({listed})")
    seen = [made[0]]
    for direction, towards in (("before", "older"), ("after", "newer")):
        other = {"before": "after", "after": "before"}[direction]
        cursor, more = "", True
        while more:
            query = f"{direction}=2&{other}=0&cursor={cursor}"
            page = api.ok("GET", f"/v1/memories/{made[0]}/timeline?{query}", tenant.full)
            seen += [entry["id"] for entry in page[direction]]
            cursor = page[f"{towards}Cursor"]
            more = cursor is not None
    assert sorted(seen) == sorted(made)


def test_a_session_is_told_from_its_beginning(story: Story) -> None:
    path = f"/v1/sessions/{story.session}/timeline"
    entries, cursor = [], ""
    while cursor is not None:
        page = story.api.ok("GET", f"{path}?limit=4&cursor={cursor}", story.tenant.full)
        assert page["session"]["id"] == story.session
        entries += told(page["entries"])
        cursor = page["nextCursor"]
    own = [entry for index, entry in enumerate(story.order) if index % 2 or index % 4 == 2]
    assert entries == own


@pytest.mark.parametrize("cursor", ["x", "WzFd", "WyJvbGRlciIsWzEsImEiXSxbMSwyXV0", "W10"])
def test_a_foreign_cursor_is_refused(story: Story, cursor: str) -> None:
    for path in (f"/v1/memories/{story.memories[0]}", f"/v1/sessions/{story.session}"):
        answer = story.api.call("GET", f"{path}/timeline?cursor={cursor}", story.tenant.full)
        assert answer.status_code == 400
        assert answer.json()["issues"][0]["path"] == ["cursor"]


def test_each_look_is_in_the_audit_log(story: Story) -> None:
    found = story.around(1, "before=1&after=1")
    (entry,) = story.api.ok("GET", "/v1/audit?limit=1", story.tenant.full)["audit"]
    assert (entry["action"], entry["resourceId"]) == ("observation.read", story.memories[1])
    assert entry["details"]["mode"] == "timeline"
    shown = [each["id"] for each in (*found["before"], *found["after"]) if each["type"] == "observation"]
    assert entry["details"]["observationIds"] == shown
