"""Keys equal those of claude-mem 13: the vectors of the contract, and what may and may not change a key."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from claude_mem.model.canonical import canonical_json
from claude_mem.model.identity import (
    event_key,
    generation_key,
    hash_api_key,
    is_open_session_key,
    job_key,
    new_api_key,
    new_id,
    session_key,
    transport_job_id,
)

_PAYLOAD = {"nested": {"b": 2, "a": 1}, "msg": "hé", "n": 1.0, "10": 1, "9": 2}
_EVENT: dict[str, Any] = {
    "team_id": "t",
    "project_id": "p",
    "adapter": "api",
    "platform": None,
    "source_event_id": None,
    "content_session_id": None,
    "server_session_id": None,
    "event_type": "tool_use",
    "occurred_at_ms": 1_767_225_600_000,
    "payload_canonical": "{}",
}
_SESSION: dict[str, Any] = {
    "team_id": "t",
    "project_id": "p",
    "platform": None,
    "external_session_id": None,
    "content_session_id": None,
    "agent_id": None,
    "agent_type": None,
}


def _event(**changes: Any) -> str:
    return event_key(**{**_EVENT, **changes})


def _session(**changes: Any) -> str | None:
    return session_key(**{**_SESSION, **changes})


def test_event_with_payload() -> None:
    key = _event(platform="claude", content_session_id="c1", payload_canonical=canonical_json(_PAYLOAD))
    assert key == "agent_event:v1:5c2a1908e679790e2d8a0664c4853e6ca42ba5a2e442e6e0d38b24397d091e60"


def test_event_without_platform_and_session() -> None:
    assert _event() == "agent_event:v1:23e7870b07f2d10341a58d5176d053a6fd7555afdd9c4987c98338f550aefe11"


def test_event_with_source_id() -> None:
    key = _event(adapter="claude-code-compat", platform="claude", source_event_id="tu_1")
    assert key == "agent_event:v1:42340daf9e09865ee2231f70ecd53fe58e75ecaa616a23e58303a29cac1bef59"


def test_a_source_id_decides_alone() -> None:
    first = _event(source_event_id="tu_1", occurred_at_ms=1, payload_canonical='{"a":1}', event_type="x")
    assert first == _event(source_event_id="tu_1")
    assert first != _event(source_event_id="tu_2")


def test_linking_an_event_to_its_session_keeps_its_key() -> None:
    unlinked = _event(content_session_id="c1")
    assert unlinked == _event(content_session_id="c1", server_session_id="s1")
    assert unlinked != _event(server_session_id="s1")


@pytest.mark.parametrize(
    "change",
    [
        {"team_id": "u"},
        {"project_id": "q"},
        {"adapter": "hook"},
        {"platform": "claude"},
        {"event_type": "assistant_message"},
        {"occurred_at_ms": 1_767_225_600_001},
        {"payload_canonical": '{"a":1}'},
    ],
)
def test_every_part_of_an_event_counts(change: dict[str, Any]) -> None:
    assert _event(**change) != _event()


def test_an_event_beyond_all_calendars_is_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        _event(occurred_at_ms=8_640_000_000_000_001)


def test_session_by_content_id() -> None:
    key = _session(platform="docker-e2e", content_session_id="c1")
    assert key == "server_session:v1:e119fa391160bff4f4c0debe0db8b6d31b37bc7f1c030ddc2465230782d09e94"


def test_session_by_external_id() -> None:
    expected = "server_session:v1:ff008f7453df21a96447dcb01ed92c94b2cc7baca2ae484463a4ae0384007c65"
    assert _session(external_session_id="x1") == expected
    assert _session(external_session_id="x1", content_session_id="c1", agent_id="a") == expected
    assert _session(external_session_id="x1", platform="codex") != expected


def test_session_of_an_agent() -> None:
    key = _session(platform="claude", agent_id="a1")
    assert key is not None
    assert key == _session(platform="claude", agent_id="a1")
    assert (
        len({key, _session(platform="codex", agent_id="a1"), _session(platform="claude", agent_id="a2")}) == 3
    )
    assert key != _session(platform="claude", agent_id="a1", agent_type="reviewer")


def test_only_the_key_of_an_agent_ends_with_its_session() -> None:
    assert is_open_session_key(external_session_id=None, content_session_id=None)
    assert not is_open_session_key(external_session_id="x1", content_session_id=None)
    assert not is_open_session_key(external_session_id=None, content_session_id="c1")


@pytest.mark.parametrize(
    "change", [{}, {"agent_id": "a1"}, {"platform": "claude"}, {"agent_type": "reviewer"}]
)
def test_session_that_nothing_names(change: dict[str, Any]) -> None:
    assert _session(**change) is None


def test_job() -> None:
    key = job_key(
        team_id="t",
        project_id="p",
        source_type="agent_event",
        source_id="e1",
        job_type="observation_generate_for_event",
    )
    assert key == (
        "observation_generation_job:v1:e5d8b46200e84ee3884c1a714fd82b4695148b7fd2f84307c612d1fb1f01d4bb"
    )


def test_generation() -> None:
    expected = "generation:v1:j1:0:5bfdd784936034fd975fc249b39845811ab1260827d5e650547749f630a1dfbb"
    assert generation_key(job_id="j1", index=0, content="Title\n\n- fé") == expected
    assert generation_key(job_id="j1", index=0, content=" \ufeffTitle\n\n- fé\n") == expected


def test_transport_of_an_event() -> None:
    assert (
        transport_job_id(
            kind="event",
            team_id="team_abc",
            project_id="project_xyz",
            source_type="agent_event",
            source_id="evt_001",
        )
        == "evt_9997b2a9bbb5e90423d1b84b76f72816356fa9e690dff3fce2adde268214beeb"
    )


def test_transport_of_a_summary() -> None:
    assert (
        transport_job_id(
            kind="summary",
            team_id="team_abc",
            project_id="project_xyz",
            source_type="session_summary",
            source_id="ses_001",
        )
        == "sum_f11da0fc79e77268eb740d24b585f0f9552a3f4470882ab6f5e82e855bf2179d"
    )


def test_new_ids_are_random_uuids() -> None:
    ids = [new_id() for _ in range(500)]
    assert len(set(ids)) == len(ids)
    parsed = [uuid.UUID(text) for text in ids]
    assert {(one.version, one.variant) for one in parsed} == {(4, uuid.RFC_4122)}
    assert [str(one) for one in parsed] == ids


def test_new_api_keys() -> None:
    assert re.fullmatch(r"cm_[0-9a-f]{48}", new_api_key("http"))
    assert re.fullmatch(r"cmem_[0-9a-f]{48}", new_api_key("cli"))
    assert new_api_key("cli") != new_api_key("cli")


def test_hash_of_an_api_key() -> None:
    assert hash_api_key("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(hash_api_key("\udc80")) == 64
