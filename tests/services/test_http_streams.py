"""Server-sent events: nothing is missed, nothing of others is told, and every stream ends when it should."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx
import pytest

from claude_mem.http import streaming
from claude_mem.http.streaming import STREAMS
from claude_mem.model.times import now_us
from claude_mem.services import live
from claude_mem.services.live import RESUMABLE_US
from tests.support.http import (
    PATIENCE_S,
    Server,
    Storage,
    Tenant,
    database_url,
    event_body,
    eventually,
)
from tests.support.postgres import PostgresServer


class StreamEnded(Exception):
    """Raised when a stream has no further event."""


class Told(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: Any


class Reader:
    """An open stream; events are taken from it one by one."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self._lines = response.iter_lines()

    def take(self) -> Told:
        """The next event, comments and `retry` left out."""
        fields: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line and name:
                fields[name] = value
            if not line and "event" in fields:
                return Told(fields["id"], fields["event"], json.loads(fields["data"]))
            if not line:
                fields = {}
        raise StreamEnded

    def until(self, event: str) -> list[Told]:
        """Events up to and with the first of the kind."""
        found = [self.take()]
        while found[-1].event != event:
            found.append(self.take())
        return found

    def rest(self) -> list[Told]:
        """All events to the stream's end."""
        found = []
        while True:
            try:
                found.append(self.take())
            except StreamEnded:
                return found


@contextmanager
def reading(server: Server, path: str, key: str, last: str | None = None) -> Iterator[Reader]:
    headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {key}"}
    headers |= {"Last-Event-ID": last} if last is not None else {}
    with (
        httpx.Client(base_url=server.url, timeout=PATIENCE_S, trust_env=False) as client,
        client.stream("GET", path, headers=headers) as response,
    ):
        if response.status_code != 200:
            response.read()
        yield Reader(response)


def add_event(api: Server, tenant: Tenant, **changes: Any) -> tuple[str, str]:
    made = api.ok("POST", "/v1/events", tenant.full, event_body(tenant.project, **changes), status=201)
    return made["event"]["id"], made["generationJob"]["id"]


def add_memory(api: Server, tenant: Tenant, content: str, *, key: str | None = None) -> str:
    body = {"projectId": tenant.project, "content": content}
    made: str = api.ok("POST", "/v1/memories", key or tenant.full, body, status=201)["memory"]["id"]
    return made


def test_a_jobs_stream_tells_its_progress_and_ends_with_it(api: Server, tenant: Tenant) -> None:
    _, job = add_event(api, tenant)
    with reading(api, f"/v1/jobs/{job}/events", tenant.full) as reader:
        headers = reader.response.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "X-Request-Id" in headers
        first = reader.take()
        assert (first.event, first.data["statusAfter"]) == ("progress", "queued")
        api.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
        later = reader.rest()
    history = api.ok("GET", f"/v1/jobs/{job}/events", tenant.full)["events"]
    assert [first.data, *(told.data for told in later[:-1])] == history
    assert [first.id, *(told.id for told in later[:-1])] == [line["id"] for line in history]
    assert later[-1] == ("end", "end", api.ok("GET", f"/v1/jobs/{job}", tenant.full))


def test_a_jobs_stream_goes_on_where_it_was_cut(api: Server, tenant: Tenant) -> None:
    _, job = add_event(api, tenant)
    api.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
    path = f"/v1/jobs/{job}/events"
    history = [line["id"] for line in api.ok("GET", path, tenant.full)["events"]]
    with reading(api, path, tenant.full, history[0]) as reader:
        assert [told.id for told in reader.rest()] == [*history[1:], "end"]
    with reading(api, path, tenant.full, "of another stream") as reader:
        assert [told.id for told in reader.rest()] == [*history, "end"]
    with reading(api, path, tenant.full, "end") as reader:
        assert reader.response.status_code == 204
    api.ok("POST", f"/v1/jobs/{job}/retry", tenant.full)
    with reading(api, path, tenant.full, "end") as reader:
        assert reader.take().id == history[0], "a job that was tried again is news"


def test_a_purged_jobs_stream_ends(api: Server, tenant: Tenant) -> None:
    _, job = add_event(api, tenant)
    with reading(api, f"/v1/jobs/{job}/events", tenant.full) as reader:
        reader.take()
        api.ok("DELETE", f"/v1/projects/{tenant.project}/memory", tenant.full)
        assert reader.rest()[-1] == ("end", "end", {"generationJob": None})


def test_a_projects_stream_tells_what_happens_to_memories_and_jobs(api: Server, tenant: Tenant) -> None:
    path = f"/v1/stream?projectId={tenant.project}"
    add_memory(api, tenant, "before the stream")
    with reading(api, path, tenant.full) as reader:
        assert reader.take().event == "open"
        memory = add_memory(api, tenant, "one")
        created = reader.take()
        assert (created.event, created.data["change"]) == ("observation", "created")
        assert created.data["observation"] == api.ok("GET", f"/v1/memories/{memory}", tenant.full)["memory"]
        api.ok("PATCH", f"/v1/memories/{memory}", tenant.full, {"content": "two"})
        updated = reader.take()
        assert (updated.data["change"], updated.data["observation"]["content"]) == ("updated", "two")
        api.ok("DELETE", f"/v1/memories/{memory}", tenant.full)
        assert reader.take().data == {"change": "deleted", "id": memory}
        _, job = add_event(api, tenant)
        queued = reader.take()
        assert (queued.event, queued.data) == ("job", api.ok("GET", f"/v1/jobs/{job}", tenant.full))
        api.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
        assert reader.take().data["generationJob"]["status"] == "cancelled"
        api.ok("DELETE", f"/v1/projects/{tenant.project}/memory", tenant.full)
        assert reader.take()[1:] == ("purged", {"projectId": tenant.project})


def test_jobs_of_a_batch_and_failures_are_told(api: Server, tenant: Tenant) -> None:
    with reading(api, "/v1/stream", tenant.scoped) as reader:
        reader.take()
        bodies = [event_body(tenant.project, occurredAtEpoch=number) for number in range(3)]
        made = api.ok("POST", "/v1/events/batch", tenant.scoped, bodies, status=201)
        jobs = {entry["generationJob"]["id"] for entry in made["events"]}
        assert {reader.take().data["generationJob"]["id"] for _ in jobs} == jobs
        (job, *_) = jobs
        at = "now()" if api.services.database.name == "postgres" else str(now_us())
        api.execute(f"UPDATE observation_generation_jobs SET status = 'failed' WHERE id = '{job}'")
        api.execute(
            "INSERT INTO observation_generation_job_events (id, generation_job_id, event_type, status_after, attempt,"
            f" details, created_at) VALUES ('{job}-f', '{job}', 'failed', 'failed', 3, '{{}}', {at})"
        )
        assert reader.take().data["generationJob"]["status"] == "failed"


def test_what_is_made_of_an_event_is_told(tmp_path: Any) -> None:
    with Server(tmp_path, generate=True) as server:
        tenant = server.tenant()
        with reading(server, "/v1/stream", tenant.full) as reader:
            reader.take()
            change = {"file_path": "/src/a.py", "old_string": "a", "new_string": "b"}
            payload = {"tool_name": "Edit", "tool_input": change}
            event, job = add_event(server, tenant, payload=payload)
            # One look may find the observation and its job's end together: either may be told first.
            told: list[Told] = []
            while not (
                any(one.event == "observation" for one in told)
                and any(one.data.get("generationJob", {}).get("status") == "completed" for one in told)
            ):
                told.append(reader.take())
        (made,) = server.ok("GET", f"/v1/events/{event}/observations", tenant.full)["observations"]
        (seen,) = [one.data["observation"] for one in told if one.event == "observation"]
        assert (seen["id"], seen["content"]) == (made["id"], made["content"])
        assert {one.data["generationJob"]["id"] for one in told if one.event == "job"} == {job}


def test_a_stream_that_was_cut_misses_nothing(api: Server, tenant: Tenant) -> None:
    with reading(api, "/v1/stream", tenant.full) as reader:
        last = reader.take().id
    missed = [add_memory(api, tenant, f"missed {number}") for number in range(3)]
    with reading(api, "/v1/stream", tenant.full, last) as reader:
        assert reader.take().event == "open"
        told = [reader.take() for _ in missed]
        assert [one.data["id"] for one in told] == missed
        missed.append(add_memory(api, tenant, "live"))
        last = reader.take().id
    with reading(api, "/v1/stream", tenant.full, last) as reader:
        # What is a few seconds old is told again, in doubt.
        assert reader.until("observation")[-1].data["id"] in missed


@pytest.mark.parametrize(
    "last",
    [str(now_us() - RESUMABLE_US - 60_000_000), "x", "9" * 30],
    ids=["a minute", "no number", "the future"],
)
def test_a_stream_that_was_cut_too_long_ago_says_so(api: Server, tenant: Tenant, last: str) -> None:
    with reading(api, "/v1/stream", tenant.full, last) as reader:
        assert reader.take().event == "reset"
        memory = add_memory(api, tenant, "after")
        assert reader.take().data["id"] == memory


def test_what_commits_late_is_told_although_later_lines_were(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line's time is taken before its transaction commits; another may have overtaken it."""
    # Late enough to be overtaken, and in time however long this machine takes to commit it.
    monkeypatch.setattr(live, "SETTLED_US", 600 * 1_000_000)
    with reading(api, "/v1/stream", tenant.full) as reader:
        reader.take()
        add_memory(api, tenant, "in time")
        reader.take()
        slow = now_us() - 5_000_000
        at = f"to_timestamp({slow} / 1e6)" if api.services.database.name == "postgres" else str(slow)
        api.execute(
            "INSERT INTO audit_log (id, team_id, project_id, action, resource_type, resource_id, details, created_at)"
            f" VALUES ('{tenant.team}-late', '{tenant.team}', '{tenant.project}', 'observation.deleted', 'observation',"
            f" 'late', '{{}}', {at})"
        )
        assert reader.take().data == {"change": "deleted", "id": "late"}


def test_nothing_of_others_is_told(api: Server, tenant: Tenant) -> None:
    other = api.tenant()
    with (
        reading(api, "/v1/stream", tenant.sibling_key) as sibling,
        reading(api, f"/v1/stream?projectId={tenant.sibling}", tenant.full) as named,
        reading(api, "/v1/stream", tenant.full) as whole,
    ):
        for reader in (sibling, named, whole):
            reader.take()
        add_memory(api, other, "of another team")
        add_event(api, other)
        mine = add_memory(api, tenant, "of the other project")
        body = {"projectId": tenant.sibling, "content": "of this one"}
        seen = api.ok("POST", "/v1/memories", tenant.full, body, status=201)["memory"]["id"]
        assert [whole.take().data["id"] for _ in range(2)] == [mine, seen]
        assert [reader.take().data["id"] for reader in (sibling, named)] == [seen, seen]


def test_a_batch_over_two_projects_tells_each_its_own(api: Server, tenant: Tenant) -> None:
    with reading(api, "/v1/stream", tenant.sibling_key) as reader:
        reader.take()
        bodies = [event_body(tenant.project), event_body(tenant.sibling)]
        made = api.ok("POST", "/v1/events/batch", tenant.full, bodies, status=201)
        body = {"projectId": tenant.sibling, "content": "the end"}
        api.ok("POST", "/v1/memories", tenant.full, body, status=201)
        told = reader.until("observation")
    assert [one.data["generationJob"]["id"] for one in told[:-1]] == [
        made["events"][1]["generationJob"]["id"]
    ]


def test_streams_are_refused_like_any_other_request(api: Server, tenant: Tenant) -> None:
    other = api.tenant()
    refused = {
        f"/v1/stream?projectId={other.project}": 403,
        "/v1/jobs/absent/events": 404,
    }
    for path, status in refused.items():
        with reading(api, path, tenant.full) as reader:
            assert reader.response.status_code == status
    _, job = add_event(api, tenant)
    for key in (other.full, tenant.sibling_key):
        with reading(api, f"/v1/jobs/{job}/events", key) as reader:
            assert reader.response.status_code == 404
    with reading(api, "/v1/stream", tenant.write) as reader:
        assert reader.response.status_code == 403


def open_streams(api: Server) -> int:
    return len(api.app[STREAMS])


def test_streams_are_bounded_and_given_back(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    eventually(lambda: not open_streams(api), what="streams of other tests to end")
    monkeypatch.setattr(streaming, "MOST_OF_A_TEAM", 1)
    other = api.tenant()
    with reading(api, "/v1/stream", tenant.full) as reader:
        reader.take()
        with reading(api, "/v1/stream", tenant.full) as second:
            assert second.response.status_code == 429
            assert second.response.headers["Retry-After"] == "5"
            assert json.loads(second.response.content)["error"] == "rate_limited"
        with reading(api, "/v1/stream", other.full) as third:
            assert third.take().event == "open"
    eventually(lambda: not open_streams(api), what="the streams to be given back")


def test_a_stream_ends_with_its_key(api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CHECK_KEY_S", 0.0)
    with reading(api, "/v1/stream", tenant.scoped) as reader:
        reader.take()
        api.ok("DELETE", f"/v1/keys/{tenant.ids['scoped']}", tenant.full)
        assert reader.rest() == []


def test_a_quiet_stream_sends_signs_of_life(
    api: Server, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BEAT_S", 0.0)
    with reading(api, "/v1/stream", tenant.full) as reader:
        seen = []
        for line in reader.response.iter_lines():
            seen.append(line)
            if line.startswith(":"):
                break
        assert seen[0] == "retry: 2000"


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_server_that_stops_ends_its_streams_at_once(
    kind: Storage, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "1"}
    rest: list[list[Told]] = []
    opened = threading.Event()

    def read(server: Server, key: str) -> None:
        with reading(server, "/v1/stream", key) as reader:
            reader.take()
            opened.set()
            rest.append(reader.rest())

    with Server(tmp_path, database_url=database_url(request, kind), environ=environ) as server:
        thread = threading.Thread(target=read, args=(server, server.tenant().full))
        thread.start()
        assert opened.wait(PATIENCE_S)
    thread.join(PATIENCE_S)
    assert rest == [[]], "the stream ended in order"


def test_a_stream_outlives_the_database(tmp_path: Any) -> None:
    environ = {"CLAUDE_MEM_GENERATION_DISABLED": "1"}
    with (
        PostgresServer() as fragile,
        Server(tmp_path, database_url=fragile.create_database(), environ=environ) as server,
    ):
        tenant = server.tenant()
        _, job = add_event(server, tenant)
        with (
            reading(server, "/v1/stream", tenant.full) as reader,
            reading(server, f"/v1/jobs/{job}/events", tenant.full) as progress,
        ):
            reader.take()
            progress.take()
            fragile.crash()
            assert server.call("GET", "/v1/usage", tenant.full).status_code == 503
            fragile.start()
            eventually(
                lambda: server.call("GET", "/v1/usage", tenant.full).status_code == 200,
                what="the server to recover",
            )
            memory = add_memory(server, tenant, "after the outage")
            assert reader.take().data["id"] == memory
            server.ok("POST", f"/v1/jobs/{job}/cancel", tenant.full)
            assert progress.rest()[-1].data["generationJob"]["status"] == "cancelled"
