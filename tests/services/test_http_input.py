"""Input that nobody should send: each is answered with what is wrong with it, and none with a server's error."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.test_http_auth import BATCH, GUARDED, Route, ids
from tests.support.http import Server, Tenant, event_body

POSTS = [route for route in [*GUARDED, BATCH] if route.body is not None or route is BATCH]
LIMIT = 5 * 1024 * 1024


def nested(depth: int, *, inner: str = "1") -> str:
    return '{"a":[' * (depth // 2) + inner + "]}" * (depth // 2)


def event_text(tenant: Tenant, **members: str) -> bytes:
    """An event as JSON text, with members given as JSON text."""
    body = {name: json.dumps(value) for name, value in event_body(tenant.project).items()} | members
    return ("{" + ",".join(f'"{name}":{text}' for name, text in body.items()) + "}").encode()


def issue_of(answer: Any) -> tuple[str, list[str | int], str]:
    body = answer.json()
    assert answer.status_code == 400, body
    assert body["error"] == "ValidationError", body
    first = body["issues"][0]
    return first["code"], first["path"], first["message"]


@pytest.mark.parametrize(
    "content", [b"null", b"1", b'"x"', b"true", b"{", b'{"a":NaN}', b"[Infinity]", b"\xff"]
)
def test_a_body_that_is_no_json_document_is_a_syntax_error(
    api: Server, tenant: Tenant, content: bytes
) -> None:
    answer = api.call("POST", "/v1/events", tenant.full, content=content)
    assert (answer.status_code, answer.json()["error"]) == (400, "SyntaxError")


@pytest.mark.parametrize(
    "content",
    [
        b"   ",
        b'{"projectId":"\xff\xfe"}',
        b'{"a":1}x',
        b'{"a":"\x00"}',
        b"{'a':1}",
        b'{"a":1,}',
        b"[" * 100_000,
    ],
    ids=["blank", "not UTF-8", "more", "raw NUL", "single quotes", "comma", "100,000 levels"],
)
def test_other_texts_are_syntax_errors_too(api: Server, tenant: Tenant, content: bytes) -> None:
    answer = api.call("POST", "/v1/events", tenant.full, content=content)
    assert (answer.status_code, answer.json()["error"]) == (400, "SyntaxError")


@pytest.mark.parametrize(
    ("path", "content", "issue"),
    [
        ("/v1/events", b"", ("invalid_type", [], "Invalid input: expected object, received undefined")),
        ("/v1/events", b"[]", ("invalid_type", [], "Invalid input: expected object, received array")),
        ("/v1/events/batch", b"{}", ("invalid_type", [], "Invalid input: expected array, received object")),
        (
            "/v1/events/batch",
            b"[]",
            ("too_small", [], "Too small: expected array to have >=1 items"),
        ),
        (
            "/v1/sessions/start",
            b"",
            ("invalid_type", [], "Invalid input: expected object, received undefined"),
        ),
        ("/v1/keys", b"", ("invalid_type", [], "Invalid input: expected object, received undefined")),
        (
            "/v1/search",
            b"{}",
            ("invalid_type", ["projectId"], "Invalid input: expected string, received undefined"),
        ),
    ],
)
def test_a_document_of_the_wrong_shape_is_told_as_zod_does(
    api: Server, tenant: Tenant, path: str, content: bytes, issue: tuple[str, list[str | int], str]
) -> None:
    assert issue_of(api.call("POST", path, tenant.full, content=content)) == issue


EVENT_ISSUES: list[tuple[str, str, str, str]] = [
    ("projectId", "null", "invalid_type", "Invalid input: expected string, received null"),
    ("projectId", '""', "too_small", "Too small: expected string to have >=1 characters"),
    ("projectId", "5", "invalid_type", "Invalid input: expected string, received number"),
    (
        "sourceType",
        '"shell"',
        "invalid_value",
        'Invalid option: expected one of "hook"|"worker"|"provider"|"server"|"api"',
    ),
    ("eventType", "[]", "invalid_type", "Invalid input: expected string, received array"),
    ("occurredAtEpoch", '"1"', "invalid_type", "Invalid input: expected number, received string"),
    ("occurredAtEpoch", "true", "invalid_type", "Invalid input: expected number, received boolean"),
    ("occurredAtEpoch", "null", "invalid_type", "Invalid input: expected number, received null"),
    ("occurredAtEpoch", "1.5", "invalid_type", "Invalid input: expected int, received number"),
    ("occurredAtEpoch", "-1", "too_small", "Too small: expected number to be >=0"),
    ("occurredAtEpoch", "8640000000000001", "too_big", "Too big: expected number to be <=8640000000000000"),
    ("occurredAtEpoch", "1e300", "too_big", "Too big: expected number to be <=8640000000000000"),
    ("serverSessionId", '""', "too_small", "Too small: expected string to have >=1 characters"),
    ("contentSessionId", "{}", "invalid_type", "Invalid input: expected string, received object"),
    ("platformSource", '""', "too_small", "Too small: expected string to have >=1 characters"),
    ("metadata", "[]", "invalid_type", "Invalid input: expected record, received array"),
]


@pytest.mark.parametrize(("name", "text", "code", "message"), EVENT_ISSUES)
def test_each_wrong_member_is_named(
    api: Server, tenant: Tenant, name: str, text: str, code: str, message: str
) -> None:
    answer = api.call("POST", "/v1/events", tenant.full, content=event_text(tenant, **{name: text}))
    assert issue_of(answer) == (code, [name], message)
    batch = b"[" + event_text(tenant) + b"," + event_text(tenant, **{name: text}) + b"]"
    assert issue_of(api.call("POST", "/v1/events/batch", tenant.full, content=batch)) == (
        code,
        [1, name],
        message,
    )


def test_every_issue_is_listed(api: Server, tenant: Tenant) -> None:
    answer = api.call("POST", "/v1/events", tenant.full, {"eventType": "", "sourceType": None})
    found = {(issue["code"], *issue["path"]) for issue in answer.json()["issues"]}
    assert found == {
        ("invalid_type", "projectId"),
        ("invalid_value", "sourceType"),
        ("too_small", "eventType"),
        ("invalid_type", "occurredAtEpoch"),
    }


@pytest.mark.parametrize(
    ("name", "text", "stored"),
    [
        ("occurredAtEpoch", "0", 0),
        ("occurredAtEpoch", "1.0", 1),
        ("occurredAtEpoch", "8.64e15", 8_640_000_000_000_000),
        ("payload", "null", {}),
        ("payload", '"text"', "text"),
        ("payload", "[1.0,2]", [1, 2]),
        ("payload", r'{"cut":"\ud83d","key\udc00":"\ud83d\ude00"}', {"cut": "\ufffd", "key\ufffd": "😀"}),
        ("payload", r'{"a":"\\u0000 \\ud800"}', {"a": "\\u0000 \\ud800"}),
        ("payload", nested(100), json.loads(nested(100))),
        ("payload", nested(254), json.loads(nested(254))),
        ("eventType", r'"\ud83d!"', "\ufffd!"),
        ("sourceEventId", '""', None),
        ("sourceEventId", "null", None),
        ("serverSessionId", "null", None),
        ("metadata", "null", {}),
    ],
)
def test_what_is_unusual_but_right_is_stored(
    api: Server, tenant: Tenant, name: str, text: str, stored: Any
) -> None:
    answer = api.call("POST", "/v1/events", tenant.full, content=event_text(tenant, **{name: text}))
    assert answer.status_code == 201, answer.text
    read = api.ok("GET", f"/v1/events/{answer.json()['event']['id']}", tenant.full)
    assert read["event"][name] == stored
    assert read["event"] == answer.json()["event"]


def test_unknown_members_are_left_out(api: Server, tenant: Tenant) -> None:
    answer = api.call("POST", "/v1/events", tenant.full, event_body(tenant.project, nonsense=1, id="mine"))
    assert answer.status_code == 201
    assert "nonsense" not in answer.text


@pytest.mark.parametrize("depth", [300, 1000, 1024, 2000, 20_000])
def test_depth_has_a_limit(api: Server, tenant: Tenant, depth: int) -> None:
    for path, content in (
        ("/v1/events", event_text(tenant, payload=nested(depth))),
        ("/v1/events", event_text(tenant, metadata=nested(depth))),
        ("/v1/sessions/start", f'{{"projectId":"{tenant.project}","metadata":{nested(depth)}}}'.encode()),
        (
            "/v1/memories",
            f'{{"projectId":"{tenant.project}","content":"c","metadata":{nested(depth)}}}'.encode(),
        ),
        ("/v1/projects", f'{{"name":"n","metadata":{nested(depth)}}}'.encode()),
        ("/v1/events", f'{{"projectId":{nested(depth)}}}'.encode()),
    ):
        assert api.call("POST", path, tenant.full, content=content).status_code == 400, path


NUL_BODIES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/events", {"eventType": "a\0b"}),
    ("/v1/events", {"payload": {"deep": [{"k": "a\0"}]}}),
    ("/v1/events", {"payload": {"key\0": 1}}),
    ("/v1/events", {"payload": "\0"}),
    ("/v1/events", {"contentSessionId": "\0"}),
    ("/v1/events", {"unknown": "\0"}),
    ("/v1/sessions/start", {"externalSessionId": "x\0"}),
    ("/v1/sessions/start", {"metadata": {"prompt": "\0"}}),
    ("/v1/memories", {"content": "a\0b"}),
    ("/v1/search", {"query": "a\0b"}),
    ("/v1/context", {"query": "a", "platformSource": "\0"}),
    ("/v1/keys", {"label": "\0"}),
    ("/v1/projects", {"name": "\0"}),
    ("/api/sessions/observations", {"tool_name": "t", "contentSessionId": "c", "tool_response": "\0"}),
    ("/api/sessions/summarize", {"contentSessionId": "c\0"}),
]


@pytest.mark.parametrize(("path", "changes"), NUL_BODIES)
def test_nul_is_refused_wherever_it_stands(
    api: Server, tenant: Tenant, path: str, changes: dict[str, Any]
) -> None:
    code, _, message = issue_of(
        api.call("POST", path, tenant.scoped, event_body(tenant.project, name="n") | changes)
    )
    assert code == "invalid_format"
    assert "U+0000" in message


@pytest.mark.parametrize(
    "part", ["%00", "a%00b", "%zz", "%ff", "%ED%A0%80", "..%2f..", "%2e%2e", "x" * 3000, "😀"]
)
@pytest.mark.parametrize("route", [route for route in GUARDED if "/x" in route.path], ids=ids)
def test_no_id_in_a_path_breaks_a_route(api: Server, tenant: Tenant, route: Route, part: str) -> None:
    answer = api.call(route.method, route.path.replace("/x", f"/{part}"), tenant.full, route.body)
    assert answer.status_code in {403, 404}, answer.text
    assert answer.json()["error"] in {"NotFound", "not_found", "Forbidden"}


@pytest.mark.parametrize(
    "query",
    ["wait=1", "wait=", "wait=TRUE", "generate=no", "wait=true&wait=true", "generate=true&generate=false"],
)
@pytest.mark.parametrize("path", ["/v1/events", "/v1/events/batch"])
def test_a_query_flag_is_true_or_false_once(api: Server, tenant: Tenant, path: str, query: str) -> None:
    code, where, message = issue_of(api.call("POST", f"{path}?{query}", tenant.full, content=b"{"))
    assert (code, where) == ("invalid_value", [query.partition("=")[0]])
    assert message == 'Invalid option: expected one of "true"|"false"'


def test_unknown_query_parameters_are_not_looked_at(api: Server, tenant: Tenant) -> None:
    body = event_body(tenant.project)
    assert api.call("POST", "/v1/events?generate[]=true&x=%ff&y=%00", tenant.full, body).status_code == 201


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_another_content_type_is_415_unless_the_body_is_empty(api: Server, tenant: Tenant, kind: str) -> None:
    content = event_text(tenant)
    headers = {"Content-Type": kind}
    answer = api.call("POST", "/v1/events", tenant.full, content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (415, "UnsupportedMediaType")
    empty = api.call("POST", "/v1/events", tenant.full, content=b"", headers=headers)
    assert issue_of(empty)[0] == "invalid_type"


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.api+json"]
)
def test_json_has_several_names(api: Server, tenant: Tenant, kind: str) -> None:
    answer = api.call(
        "POST", "/v1/events", tenant.full, content=event_text(tenant), headers={"Content-Type": kind}
    )
    assert answer.status_code == 201


@pytest.mark.parametrize("path", ["/v1/sessions/{}/end", "/v1/jobs/{}/cancel", "/v1/jobs/{}/retry"])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"{broken", b"plain"])
def test_routes_without_a_body_take_any(api: Server, tenant: Tenant, path: str, content: bytes) -> None:
    session = api.ok("POST", "/v1/sessions/start", tenant.full, {"projectId": tenant.project}, status=201)
    session_id = session["session"]["id"]
    job = api.ok("POST", f"/v1/sessions/{session_id}/end", tenant.full)["generationJob"]
    chosen = session_id if "sessions" in path else job["id"]
    for headers in ({}, {"Content-Type": "text/plain"}):
        answer = api.call("POST", path.format(chosen), tenant.full, content=content, headers=headers)
        assert answer.status_code == 200, answer.text


def test_gzip_is_read_and_what_pretends_to_be_is_refused(api: Server, tenant: Tenant) -> None:
    def send(content: bytes, encoding: str) -> tuple[int, str]:
        headers = {"Content-Encoding": encoding}
        answer = api.call("POST", "/v1/events", tenant.full, content=content, headers=headers)
        return answer.status_code, answer.json().get("error", "")

    whole = event_text(tenant)
    assert send(gzip.compress(whole), "gzip") == (201, "")
    assert send(zlib.compress(whole), "deflate") == (201, "")
    assert send(whole, "gzip")[0] == 400
    assert send(gzip.compress(whole)[:-20], "gzip")[0] == 400
    assert send(whole, "identity") == (201, "")
    assert send(whole, "bogus")[0] in {201, 400, 415}
    assert send(gzip.compress(b"[" + b" " * (20 * LIMIT) + b"]"), "gzip") == (413, "PayloadTooLarge")


def test_a_byte_order_mark_is_no_mistake(api: Server, tenant: Tenant) -> None:
    content = b"\xef\xbb\xbf" + event_text(tenant)
    assert api.call("POST", "/v1/events", tenant.full, content=content).status_code == 201


def test_five_mebibytes_are_taken_and_not_one_byte_more(api: Server, tenant: Tenant) -> None:
    frame = event_text(tenant, payload='"{}"').replace(b"{}", b"%s")
    full = frame.replace(b"%s", b"x" * (LIMIT - len(frame) + 2))
    assert len(full) == LIMIT
    assert api.call("POST", "/v1/events", tenant.full, content=full).status_code == 201
    answer = api.call("POST", "/v1/events", tenant.full, content=full + b" ")
    assert answer.status_code == 413
    assert answer.json() == {"error": "PayloadTooLarge", "message": f"the body is larger than {LIMIT} bytes"}


def test_a_batch_holds_1_to_500(api: Server, tenant: Tenant) -> None:
    one = event_body(tenant.project)
    too_many = api.call("POST", "/v1/events/batch", tenant.full, [one] * 501)
    assert issue_of(too_many) == ("too_big", [], "Too big: expected array to have <=500 items")
    most = api.call("POST", "/v1/events/batch", tenant.full, [one] * 500)
    assert most.status_code == 201
    assert len({entry["event"]["id"] for entry in most.json()["events"]}) == 1


ODD_BODIES: list[tuple[str, dict[str, Any], int]] = [
    ("/v1/sessions/start", {"externalSessionId": None}, 400),
    ("/v1/sessions/start", {"metadata": None}, 400),
    ("/v1/sessions/start", {"agentId": None, "platformSource": None, "contentSessionId": None}, 201),
    ("/v1/memories", {"content": ""}, 400),
    ("/v1/memories", {"content": "c", "kind": None}, 400),
    ("/v1/memories", {"content": "c", "metadata": None}, 400),
    ("/v1/memories", {"narrative": "n", "title": None, "type": "decision"}, 201),
    ("/v1/memories", {"title": "n"}, 400),
    ("/v1/search", {"query": ""}, 400),
    ("/v1/search", {"query": "q", "limit": 0}, 400),
    ("/v1/search", {"query": "q", "limit": 101}, 400),
    ("/v1/search", {"query": "q", "limit": 1.5}, 400),
    ("/v1/search", {"query": "q", "limit": None}, 400),
    ("/v1/search", {"query": "q", "limit": 100, "platformSource": None}, 200),
    ("/v1/context", {"query": "q", "limit": 51}, 400),
    ("/v1/context", {"query": "q", "limit": 50.0}, 200),
    ("/v1/keys", {"label": "x" * 121}, 400),
    ("/v1/keys", {"label": None}, 400),
    ("/v1/keys", {"label": ""}, 201),
    ("/v1/keys", {"expiresInDays": 0}, 400),
    ("/v1/keys", {"expiresInDays": 366}, 400),
    ("/v1/keys", {"expiresInDays": "7"}, 400),
    ("/v1/keys", {"expiresInDays": 365}, 201),
    ("/v1/keys", {"scopes": []}, 400),
    ("/v1/keys", {"scopes": ["root"]}, 400),
    ("/api/sessions/observations", {"contentSessionId": "c"}, 400),
    ("/api/sessions/observations", {"contentSessionId": "c", "tool_name": ""}, 400),
    ("/api/sessions/observations", {"contentSessionId": "c", "tool_name": "t", "toolUseId": 5}, 400),
    ("/api/sessions/summarize", {}, 400),
]


@pytest.mark.parametrize(("path", "body", "status"), ODD_BODIES)
def test_optional_is_not_nullable_and_bounds_hold(
    api: Server, tenant: Tenant, path: str, body: dict[str, Any], status: int
) -> None:
    answer = api.call("POST", path, tenant.scoped, {"projectId": tenant.project} | body)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["error"] == "ValidationError"


@pytest.mark.parametrize(
    "query",
    [
        "word " * 200_000,
        "x" * 1_000_000,
        "-" * 10_000,
        '"' * 10_001,
        '"unclosed phrase',
        "-only -exclusions",
        "' \\ : & | ! ( ) * <-> \\\\'",
        "the of and",
        "* NEAR( AND OR NOT ^ {a}: b",
        "日本語 ünïcödé 😀",
        '-"',
        "a:*b",
    ],
    ids=range(12),
)
def test_no_question_breaks_the_search(api: Server, tenant: Tenant, query: str) -> None:
    api.ok(
        "POST", "/v1/memories", tenant.full, {"projectId": tenant.project, "content": "the words"}, status=201
    )
    for path in ("/v1/search", "/v1/context"):
        answer = api.call("POST", path, tenant.full, {"projectId": tenant.project, "query": query})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("size", [513, 3000, 60_000])
def test_overlong_ids_are_refused_with_their_name(api: Server, tenant: Tenant, size: int) -> None:
    for path, name in (
        ("/v1/sessions/start", "externalSessionId"),
        ("/v1/sessions/start", "contentSessionId"),
        ("/v1/events", "platformSource"),
        ("/api/sessions/summarize", "contentSessionId"),
    ):
        body = event_body(tenant.project) | {name: "é" * size}
        code, where, _ = issue_of(api.call("POST", path, tenant.scoped, body))
        assert (code, where) == ("too_big", [name])


def test_memories_may_be_long(api: Server, tenant: Tenant) -> None:
    words = " ".join(f"word{number}" for number in range(250_000))
    answer = api.call("POST", "/v1/memories", tenant.full, {"projectId": tenant.project, "content": words})
    assert answer.status_code in {201, 400}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("usd", text) for text in ("1e308", "-0.0", "-1", "true", '"1"', "1e-320", "18446744073709551616")),
        *(("tokens", text) for text in ("1e308", "-1", "1.5", "true", "9007199254740993")),
        *(("warnPercent", text) for text in ("0", "101", "null", "50.5")),
        *(("period", text) for text in ('"year"', "null", "[]")),
    ],
)
def test_no_budget_breaks_the_sums(api: Server, tenant: Tenant, name: str, text: str) -> None:
    content = f'{{"period":"day","tokens":5,"{name}":{text}}}'.encode()
    if name in {"period", "tokens"}:
        content = f'{{"period":"day","{name}":{text}}}'.encode()
    answer = api.call("PUT", "/v1/budgets", tenant.admin, content=content)
    assert answer.status_code in {200, 400}, answer.text
    assert api.call("GET", "/v1/usage/budget", tenant.admin).status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "by=team",
        "by=%00",
        "since=x",
        "since=-200000-01-01",
        "until=%2B275760-09-13",
        "projectId=%00",
        "limit=x",
    ],
)
def test_no_question_about_usage_breaks_it(api: Server, tenant: Tenant, query: str) -> None:
    for path in ("/v1/usage/breakdown", "/v1/usage/budget"):
        assert api.call("GET", f"{path}?{query}", tenant.admin).status_code in {200, 400, 403}
    assert api.call("DELETE", f"/v1/budgets?period=day&{query}", tenant.admin).status_code in {
        200,
        400,
        403,
        404,
    }


BAD_QUERIES = [
    "limit=abc",
    "limit=-5",
    "limit=99999999999999999999999",
    "limit=%D9%A3",
    "offset=9007199254740993",
    "offset=-1",
    "since=-200000-01-01T00:00:00Z",
    "since=%2B275760-09-13T00:00:00Z",
    "since=nonsense",
    "since=%00",
    "status=FAILED",
    "status=%00",
    "source_type=manual",
    "status=a&status=b",
    "include=%00",
]


@pytest.mark.parametrize("query", BAD_QUERIES)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/teams/{team}/jobs", "/v1/projects/{project}/jobs"])
def test_wrong_filters_of_job_lists_are_as_if_not_there(
    api: Server, tenant: Tenant, path: str, query: str
) -> None:
    where = path.format(team=tenant.team, project=tenant.project)
    assert api.call("GET", f"{where}?{query}", tenant.full).status_code == 200


@pytest.mark.parametrize("path", ["/v1/memories", "/v1/keys", "/v1/projects", "/v1/audit"])
@pytest.mark.parametrize("cursor", ["x", "!!!", "MTIzNA", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OmE", "YTpi", "é"])
def test_foreign_cursors_are_refused(api: Server, tenant: Tenant, path: str, cursor: str) -> None:
    answer = api.call("GET", f"{path}?cursor={cursor}", tenant.full)
    assert issue_of(answer)[:2] == ("invalid_format", ["cursor"])


def wide(length: int, *, seed: int = 0) -> str:
    """Characters of four bytes each, of which nothing can be compressed."""
    noise = random.Random(seed)
    return "".join(chr(noise.randrange(0x20000, 0x2A000)) for _ in range(length))


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/v1/sessions/start", {"externalSessionId": wide(512)}),
        ("/v1/sessions/start", {"contentSessionId": wide(512)}),
        ("/v1/sessions/start", {"platformSource": wide(512), "agentId": wide(512), "agentType": wide(512)}),
        (
            "/v1/sessions/start",
            {
                "externalSessionId": wide(256),
                "contentSessionId": wide(256, seed=1),
                "platformSource": wide(256, seed=2),
            },
        ),
        (
            "/v1/events",
            {
                "eventType": wide(1024),
                "contentSessionId": wide(512),
                "platformSource": wide(512),
                "sourceEventId": wide(1024),
            },
        ),
        ("/v1/memories", {"kind": wide(1024), "title": wide(1024), "type": wide(1024)}),
    ],
)
def test_what_is_as_long_as_it_may_be_is_stored_in_any_script(
    api: Server, tenant: Tenant, path: str, members: dict[str, str]
) -> None:
    sound = event_body(tenant.project) if path == "/v1/events" else {"content": "a walrus"}
    body = {**sound, "projectId": tenant.project, **members}
    answer = api.call("POST", path, tenant.full, body)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    ("path", "named", "members"),
    [
        (
            "/v1/sessions/start",
            "externalSessionId",
            {"externalSessionId": wide(256), "platformSource": wide(257)},
        ),
        ("/v1/sessions/start", "contentSessionId", {"contentSessionId": wide(512), "platformSource": "x"}),
        (
            "/api/sessions/observations",
            "contentSessionId",
            {"contentSessionId": "x", "tool_name": "Read", "platformSource": wide(512)},
        ),
        (
            "/api/sessions/summarize",
            "contentSessionId",
            {"contentSessionId": "x", "platformSource": "y" * 2048},
        ),
    ],
)
def test_a_platform_and_an_id_too_long_for_one_entry_of_an_index_are_told(
    api: Server, tenant: Tenant, path: str, named: str, members: dict[str, str]
) -> None:
    answer = api.call("POST", path, tenant.full, {"projectId": tenant.project, **members})
    assert issue_of(answer) == (
        "custom",
        [],
        f"{named} and platformSource are longer than 2048 bytes together",
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
MEMBERS = [
    *("projectId", "sourceType", "eventType", "occurredAtEpoch", "serverSessionId", "contentSessionId"),
    *("platformSource", "payload", "sourceEventId", "metadata", "externalSessionId", "agentId", "agentType"),
    *("content", "narrative", "kind", "query", "limit", "label", "name", "scopes", "expiresInDays", "title"),
    *("tool_name", "tool_input", "tool_response", "tool_use_id", "cwd", "overlapSeconds"),
    *("period", "tokens", "usd", "warnPercent"),
]
FAST = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@pytest.mark.parametrize("route", POSTS, ids=ids)
@given(
    changes=st.dictionaries(st.sampled_from(MEMBERS), JSON, max_size=4),
    whole=JSON,
    raw=st.binary(max_size=60),
)
@FAST
def test_no_body_is_answered_with_a_servers_error(
    api: Server, shared: Tenant, route: Route, changes: dict[str, Any], whole: Any, raw: bytes
) -> None:
    sound = {**event_body(shared.project), **(route.body or {}), "projectId": shared.project} | changes
    path = route.path.replace("/teams/x", f"/teams/{shared.team}").replace(
        "/projects/x", f"/projects/{shared.project}"
    )
    for content in (
        json.dumps([sound] if route is BATCH else sound).encode(),
        json.dumps(whole).encode(),
        raw,
    ):
        answer = api.call(route.method, path, shared.admin, content=content)
        assert answer.status_code < 500, answer.text
        answer.json()


@pytest.fixture(scope="module")
def shared(api: Server) -> Tenant:
    """A team for generated requests, which do not mind each other."""
    return api.tenant("shared")


@given(path=st.text(min_size=1, max_size=30), query=st.text(max_size=30))
@FAST
def test_no_path_is_answered_with_a_servers_error(api: Server, shared: Tenant, path: str, query: str) -> None:
    for prefix in ("/v1/events/", "/v1/jobs/", "/v1/sessions/", "/v1/memories/", "/"):
        target = f"{prefix}{quote(path, safe='', errors='replace')}?limit={quote(query, errors='replace')}"
        assert api.call("GET", target, shared.full).status_code < 500
