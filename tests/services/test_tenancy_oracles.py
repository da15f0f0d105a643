"""What exists in a team cannot be told from what does not: of two strangers who do the same, one names what another team
has, the other what nobody has, and both are answered the same, word by word.

So neither a status nor an error's text, an ETag, an Idempotency-Key, a cursor, a `Last-Event-ID`, a tool of MCP or a line
of an import says whether somebody has something. Streams that stay open are `test_tenancy_everywhere`'s; how long an answer
takes is nobody's.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from claude_mem.model.identity import new_id
from tests.services.test_tenancy_everywhere import (
    DECLARED,
    EVENTS,
    MARK,
    OWN,
    WORD,
    Ask,
    Belongings,
    Stranger,
    furnish,
    routes,
)
from tests.support.http import Server, database_url, event_body

#: Tells of the process, of everybody's requests and jobs together, and of no team.
OF_ALL = {"/metrics", "/healthz", "/livez", "/readyz", "/v1/info", "/api/health", "/api/readiness"} | {
    "/api/admin/doctor"
}

#: Words that nobody has, as long as the team's.
_NOBODYS = {MARK: "zygotena", WORD: "quorka"}

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

#: What differs between any two answers: ids, times, digests, keys, and cursors that hold ids and times.
_VOLATILE = (
    (_UUID, "ID"),
    (re.compile(r"\bcm(?:em)?_\w+"), "KEY"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)"), "TIME"),
    (re.compile(r"\b1[78]\d{8}(?:\d{3}|\d{6})?\b"), "TIME"),
    # The index may be folded between the two.
    (re.compile(r'(?<="score":)[\d.e+-]+'), "SCORE"),
    # Written behind.
    (re.compile(r'(?<="lastUsedAtEpoch":)(?:null|\d+)'), "TIME"),
    (re.compile(r'(?<=ursor":")[\w-]+'), "CURSOR"),
    (re.compile(r"(?<![0-9a-f])[0-9a-f]{32,64}(?![0-9a-f])"), "DIGEST"),
)
_LEFT_OUT = {"date", "x-request-id", "content-length", "etag"}


def phantom(owned: Belongings) -> Belongings:
    """What belongs to nobody, and looks as what belongs to the team."""
    ids = {found: new_id() for value in owned.names.values() for found in _UUID.findall(_opened(value))}
    swapped = ids | _NOBODYS

    def other(value: str) -> str:
        for name, stand_in in swapped.items():
            value = value.replace(name, stand_in)
        return value

    def named(value: str) -> str:
        inner = _opened(value)
        if inner == value:
            return other(value)
        return base64.urlsafe_b64encode(other(inner).encode()).decode().rstrip("=")

    return Belongings(owned.tenant, {name: named(value) for name, value in owned.names.items()})


def _opened(value: str) -> str:
    """What a cursor holds; anything else as it is."""
    try:
        found = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()
        return found if isinstance(json.loads(found), list) else value
    except (binascii.Error, ValueError):
        return value


def alike(told: str, names: dict[str, str]) -> str:
    """An answer without what may differ."""
    head, _, body = told.partition("\n\n") if "\n\n" in told else (told, "", "")
    lines = [line for line in head.splitlines() if line.partition(":")[0].lower() not in _LEFT_OUT]
    text = "\n".join([*lines, body])
    for name, value in sorted(names.items(), key=lambda one: -len(one[1])):
        text = text.replace(value, f"<{name}>")
    for word in (*_NOBODYS, *_NOBODYS.values()):
        text = text.replace(word, "<word>")
    for pattern, stand_in in _VOLATILE:
        text = pattern.sub(stand_in, text)
    # What was made in the same moment is listed in the order of its ids, which chance gives.
    return "\n".join(sorted(re.split(r"[\n,{}\[\]]", text)))


def asked(server: Server) -> Iterator[tuple[str, str, Ask]]:
    """Everything that a stranger asks, but for what stays open or tells of the process.

    Imports come last. A line keeps an id that nobody has, so what is asked afterwards differs between the two.
    """
    for method, path in sorted(routes(server), key=lambda route: (route[1] == "/v1/import", route)):
        for ask in DECLARED[path]:
            # A search's cursor holds a digest of its question, project included, so nobody's fits another question.
            bound = "{search_cursor}" in str(ask.body) and "{project}" in str(ask.body)
            stays_open = method == "GET" and path in {"/v1/mcp", "/v1/stream"}
            if path not in OF_ALL and not bound and not stays_open:
                yield method, path, ask


def beside_ones_own(server: Server, stranger: Stranger) -> Iterator[tuple[str, str, Ask]]:
    """Requests for what a stranger has itself, in which something else names what another team has."""
    key = stranger.tenant.star
    # Not at the time of the other team's: between two of one time a cursor decides by their ids, which chance gives.
    body = event_body(stranger.tenant.project, occurredAtEpoch=1_767_225_700_000)
    started = {"externalSessionId": "of its own"}
    session = server.ok(
        "POST", "/v1/sessions/start", key, started | {"projectId": stranger.tenant.project}, status=201
    )["session"]["id"]
    made = server.ok("POST", "/v1/events", key, body | {"serverSessionId": session}, status=201)
    memory = server.ok("GET", "/v1/memories?limit=1", key)["memories"][0]["id"]
    job = made["generationJob"]["id"]
    server.ok("POST", f"/v1/jobs/{job}/cancel", key)
    told = OWN | {"eventType": f"{MARK}-type", "sourceEventId": f"{MARK}-source"}
    yield "GET", f"/v1/memories/{memory}/timeline", Ask("cursor={timeline_cursor}")
    yield "GET", f"/v1/sessions/{session}/timeline", Ask("cursor={timeline_cursor}")
    yield "GET", f"/v1/jobs/{job}/events", Ask(headers={"Last-Event-ID": "{line}"})
    yield (
        "GET",
        f"/v1/jobs/{job}/events",
        Ask(headers=EVENTS | {"Last-Event-ID": "{line}"}, until=b"cancelled"),
    )
    yield "GET", "/v1/memories", Ask("cursor={cursor}")
    yield "GET", "/v1/jobs", Ask("cursor={cursor}")
    yield "PATCH", f"/v1/memories/{memory}", Ask(body={"content": "new"}, headers={"If-Match": "{etag}"})
    yield (
        "POST",
        "/v1/events",
        Ask(body=event_body("{own}") | told | {"contentSessionId": "{content_session}"}),
    )
    yield "POST", "/v1/sessions/start", Ask(body=started | OWN | {"contentSessionId": "{content_session}"})
    yield "GET", "/v1/sessions", Ask("contentSessionId={content_session}")


class Pair:
    """Two strangers: the first names what a team has, the second what nobody has."""

    def __init__(self, server: Server) -> None:
        owned = furnish(server)
        self._both = [(Stranger(server, world), world.names) for world in (owned, phantom(owned))]
        self.strangers = [stranger for stranger, _ in self._both]

    def close(self) -> None:
        for stranger in self.strangers:
            stranger.client.close()

    def differ(self, method: str, paths: tuple[str, str], ask: Ask, kind: str) -> list[str]:
        """What is asked, and what either is answered; nothing where that is the same."""
        answers = [
            alike(stranger.ask(method, path, ask, getattr(stranger.tenant, kind))[1], names)
            for (stranger, names), path in zip(self._both, paths, strict=True)
        ]
        return [] if answers[0] == answers[1] else [f"{kind} {method} {paths} {ask}", *answers]


@pytest.fixture(params=["sqlite", "postgres"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own, in which nobody else makes anything."""
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "1"}
    with Server(tmp_path, database_url=database_url(request, request.param), environ=environ) as server:
        yield server


@pytest.fixture
def pair(own: Server) -> Iterator[Pair]:
    made = Pair(own)
    yield made
    made.close()


def test_what_a_team_has_is_answered_as_what_nobody_has(own: Server, pair: Pair) -> None:
    looks = list(asked(own))
    assert {path for _, path in routes(own)} - {path for _, path, _ in looks} == OF_ALL | {"/v1/stream"}
    kinds = ("star", "scoped", "read")
    told = [pair.differ(method, (path, path), ask, kind) for method, path, ask in looks for kind in kinds]
    assert [one for one in told if one] == []


def test_nor_does_it_show_beside_what_one_has_oneself(own: Server, pair: Pair) -> None:
    looks = zip(*(list(beside_ones_own(own, stranger)) for stranger in pair.strangers), strict=True)
    told = [
        pair.differ(method, (path, other_path), ask, "star")
        for (method, path, ask), (_, other_path, _) in looks
    ]
    assert [one for one in told if one] == []
