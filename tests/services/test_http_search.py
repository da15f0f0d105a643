"""Search over HTTP: filters, pages, highlights and explanations on request, and the old shape without."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from claude_mem.services import narrowing
from claude_mem.storage import search as stored
from tests.support.http import Server, Tenant


def remember(api: Server, tenant: Tenant, content: str, **members: Any) -> str:
    body = {"projectId": tenant.project, "content": content, **members}
    made: str = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]
    return made


def search(api: Server, tenant: Tenant, query: str, **members: Any) -> Any:
    return api.ok("POST", "/v1/search", tenant.read, {"projectId": tenant.project, "query": query, **members})


def test_without_new_members_the_answer_is_the_old_one(api: Server, tenant: Tenant) -> None:
    remember(api, tenant, "alpha parser")
    found = search(api, tenant, "parsers")
    assert found.keys() == {"observations"}
    assert "highlights" not in found["observations"][0]
    assert "explanation" not in found["observations"][0]


def test_highlights_and_explanations(api: Server, tenant: Tenant) -> None:
    remember(api, tenant, "alpha parser")
    remember(api, tenant, "beta")
    found = search(api, tenant, "parsers", highlights=True, explain=True)
    assert found["statistics"] == {"documents": 2, "averageLength": 1.5}
    (memory,) = found["observations"]
    assert memory["highlights"] == [[{"text": "alpha ", "match": False}, {"text": "parser", "match": True}]]
    (term,) = memory["explanation"]
    assert (term["term"], term["documentFrequency"], term["frequency"]) == ("parser", 1, 1.0)
    assert term["score"] == pytest.approx(memory["score"])


def test_filters_by_kind_session_file_concept_and_time(api: Server, tenant: Tenant) -> None:
    session = api.ok(
        "POST",
        "/v1/sessions/start",
        tenant.full,
        {"projectId": tenant.project, "externalSessionId": "s"},
        status=201,
    )["session"]["id"]
    metadata = {"files_read": ["src/a.py"], "concepts": ["gotcha"]}
    wanted = remember(api, tenant, "alpha", kind="decision", serverSessionId=session, metadata=metadata)
    remember(api, tenant, "alpha")
    for narrowed in (
        {"kind": "decision"},
        {"kind": ["decision", "x"]},
        {"serverSessionId": session},
        {"files": "a.py"},
        {"concepts": ["Gotcha"]},
    ):
        found = search(api, tenant, "alpha", **narrowed)["observations"]
        assert [memory["id"] for memory in found] == [wanted], narrowed
        body = {"projectId": tenant.project, "query": "alpha", **narrowed}
        assert api.ok("POST", "/v1/context", tenant.read, body)["context"] == "alpha"
    assert search(api, tenant, "alpha", since="2999-01-01")["observations"] == []
    assert (
        len(search(api, tenant, "alpha", since="2020-01-01", until="2999-01-01", kind=None)["observations"])
        == 2
    )


def test_pages_follow_a_cursor_to_the_end(api: Server, tenant: Tenant) -> None:
    made = {remember(api, tenant, f"alpha {number}") for number in range(5)}
    seen: list[str] = []
    members: dict[str, Any] = {"limit": 2}
    while True:
        page = search(api, tenant, "alpha", **members)
        seen += [memory["id"] for memory in page["observations"]]
        if "nextCursor" not in page:
            break
        members["cursor"] = page["nextCursor"]
    assert len(seen) == 5
    assert set(seen) == made


@pytest.mark.parametrize(
    "narrowed", [{"kind": "rare"}, {"files": "rare.py"}, {"query": 'alpha "of the rare kind"'}]
)
def test_a_page_looks_at_no_more_where_little_passes_and_the_cursor_goes_on(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch, narrowed: dict[str, Any]
) -> None:
    rare = {"kind": "rare", "metadata": {"files_read": ["rare.py"]}}
    wanted = []
    for number in range(42):
        if number in {30, 41}:
            # Longer, so that it comes last.
            long = f"alpha {'and some more words ' * 9} of the rare kind"
            wanted.append(remember(api, tenant, long, **rare))
        else:
            remember(api, tenant, "alpha, of the kind rare")
    monkeypatch.setattr(narrowing, "MOST_LOOKED_AT", 10)
    monkeypatch.setattr(narrowing, "_READ", 4)
    looked: list[int] = []
    real = stored.found_slice

    async def counted(database: Any, ids: Any, **options: Any) -> Any:
        looked[-1] += len(ids)
        return await real(database, ids, **options)

    monkeypatch.setattr(stored, "found_slice", counted)
    members: dict[str, Any] = {"query": "alpha", "limit": 3} | narrowed
    pages: list[list[str]] = []
    while not pages or "cursor" in members:
        looked.append(0)
        page = search(api, tenant, **members)
        pages.append([memory["id"] for memory in page["observations"]])
        members.pop("cursor", None)
        if page.get("nextCursor"):
            members["cursor"] = page["nextCursor"]
    assert sorted(one for page in pages for one in page) == sorted(wanted)
    assert pages[0] == [], "what passes is behind what a page looks at"
    assert max(looked) <= 14, "the bound, and the rest of a read"
    assert sum(looked) == 42, "nothing is looked at twice"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("since", "someday"),
        ("until", 5),
        ("kind", []),
        ("kind", [7]),
        ("files", {}),
        ("concepts", [""]),
        ("cursor", "x"),
        ("cursor", ""),
        ("explain", "yes"),
        ("highlights", 1),
        ("serverSessionId", ""),
    ],
)
def test_bad_members_are_refused_by_name(api: Server, tenant: Tenant, member: str, value: object) -> None:
    body = {"projectId": tenant.project, "query": "alpha", member: value}
    answer = api.call("POST", "/v1/search", tenant.read, body)
    assert answer.status_code == 400
    assert member in answer.text


def test_the_platform_is_that_of_the_session_or_without_one_that_of_the_events(
    api: Server, tenant: Tenant
) -> None:
    at = {"createdAtUs": 1}
    lines: list[dict[str, Any]] = [{"type": "header", "format": "claude-mem-export", "version": 1}]
    platforms = {"cursor": "cursor", "codex": "codex", "unnamed": None}
    for name, platform in platforms.items():
        said = {"projectId": tenant.project, "platformSource": platform} | at
        session = {"type": "session", "id": f"of-{name}", "externalSessionId": name, "startedAtUs": 1}
        event = {"type": "event", "id": f"event-{name}", "sourceAdapter": "api", "eventType": "note"}
        times = {"payload": {"of": name}, "occurredAtUs": 1, "receivedAtUs": 1}
        lines += [session | said | {"updatedAtUs": 1}, event | said | times]
    for session_of, event_of in (
        ("cursor", None),
        ("codex", "cursor"),
        ("unnamed", "cursor"),
        (None, "cursor"),
        (None, "codex"),
        (None, "unnamed"),
        (None, None),
    ):
        sources = [{"type": "agent_event", "id": f"event-{event_of}"} | at] if event_of else []
        memory = {
            "type": "observation",
            "id": f"{session_of}-{event_of}",
            "projectId": tenant.project,
            "serverSessionId": f"of-{session_of}" if session_of else None,
            "kind": "discovery",
            "content": f"alpha session {session_of} event {event_of}",
            "updatedAtUs": 1,
            "sources": sources,
        }
        lines.append(memory | at)
    file = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    headers = {"Content-Type": "application/x-ndjson"}
    report = api.call("POST", "/v1/import", tenant.full, content=file, headers=headers)
    assert report.json()["imported"]["observations"] == 7, report.text

    def of(platform: str | None, route: str) -> set[str]:
        body = {"projectId": tenant.project, "query": "alpha", "platformSource": platform}
        found = api.ok("POST", route, tenant.read, body)["observations"]
        return {memory["content"].removeprefix("alpha session ") for memory in found}

    for route in ("/v1/search", "/v1/context"):
        assert of("cursor", route) == {"cursor event None", "unnamed event cursor", "None event cursor"}
        assert of("codex", route) == {"codex event cursor", "None event codex"}
        assert of("absent", route) == set()
        assert len(of(None, route)) == 7
