"""The calls that say what an agent does (events and sessions), and those that ask after the server itself."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from claude_mem.client import models, models_admin
from claude_mem.client.call import OWN_PROJECT, WAIT_TIMEOUT_SECONDS, Call, flags, present, segment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def info() -> Call[models_admin.ServerInfo]:
    """What the server says about itself. Needs no key."""
    return Call(method="GET", path="/v1/info", reply=models_admin.ServerInfo, repeatable=True)


def health() -> Call[models_admin.Health]:
    """The server's health report. Needs no key."""
    return Call(
        method="GET", path="/api/health", reply=models_admin.Health, repeatable=True, accepts=frozenset({503})
    )


def ready() -> Call[models_admin.Readiness]:
    """Whether the server takes work; a server that does not is an answer, not an error. Needs no key."""
    return Call(
        method="GET",
        path="/api/readiness",
        reply=models_admin.Readiness,
        repeatable=True,
        accepts=frozenset({503}),
    )


def event_body(  # noqa: PLR0913 - one for each field of the wire
    *,
    event_type: str,
    payload: Any = None,
    source_type: str = "api",
    occurred_at_epoch: int | None = None,
    source_event_id: str | None = None,
    server_session_id: str | None = None,
    content_session_id: str | None = None,
    platform_source: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    project_id: str | None = None,
) -> dict[str, Any]:
    """One event as the wire has it, for `record_events`.

    Parameters:
        source_type: where it comes from: hook, worker, provider, server or api.
        occurred_at_epoch: when it happened, in milliseconds since the Unix epoch; now when not given.
        source_event_id: the caller's own id of the event. The server keeps one event for each, so repeating a
            call is harmless. Without one, an id is made here, once, and kept through every retry of the call.
    """
    return {
        "projectId": project_id or OWN_PROJECT,
        "sourceType": source_type,
        "eventType": event_type,
        "occurredAtEpoch": int(time.time() * 1000) if occurred_at_epoch is None else occurred_at_epoch,
        "sourceEventId": source_event_id or str(uuid.uuid4()),
        "payload": {} if payload is None else payload,
        **present(
            serverSessionId=server_session_id,
            contentSessionId=content_session_id,
            platformSource=platform_source,
            metadata=None if metadata is None else dict(metadata),
        ),
    }


def record_event(  # noqa: PLR0913 - one for each field of the wire
    *,
    event_type: str,
    payload: Any = None,
    source_type: str = "api",
    occurred_at_epoch: int | None = None,
    source_event_id: str | None = None,
    server_session_id: str | None = None,
    content_session_id: str | None = None,
    platform_source: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    project_id: str | None = None,
    generate: bool = True,
    wait: bool = False,
) -> Call[models.EventReceipt]:
    """Record one event; the fields are those of `event_body`.

    Parameters:
        generate: ask for observations from it.
        wait: answer only when they are there, or after 30 s with `wait_timed_out`.
    """
    body = event_body(
        event_type=event_type,
        payload=payload,
        source_type=source_type,
        occurred_at_epoch=occurred_at_epoch,
        source_event_id=source_event_id,
        server_session_id=server_session_id,
        content_session_id=content_session_id,
        platform_source=platform_source,
        metadata=metadata,
        project_id=project_id,
    )
    return Call(
        method="POST",
        path="/v1/events",
        params=flags(generate=generate, wait=wait),
        body=body,
        reply=models.EventReceipt,
        repeatable=True,
        timeout=WAIT_TIMEOUT_SECONDS if wait else None,
    )


def record_events(
    events: Sequence[Mapping[str, Any]], *, generate: bool = True, wait: bool = False
) -> Call[models.BatchReceipt]:
    """Record 1 to 500 events made by `event_body`, all or nothing; flags as for `record_event`."""
    body = [
        {"projectId": OWN_PROJECT, **event, "sourceEventId": event.get("sourceEventId") or str(uuid.uuid4())}
        for event in events
    ]
    return Call(
        method="POST",
        path="/v1/events/batch",
        params=flags(generate=generate, wait=wait),
        body=body,
        reply=models.BatchReceipt,
        repeatable=True,
        timeout=WAIT_TIMEOUT_SECONDS,
    )


def get_event(event_id: str) -> Call[models.Event]:
    """One event."""
    path = f"/v1/events/{segment(event_id)}"
    return Call(method="GET", path=path, reply=models.Event, unwrap="event", repeatable=True)


def event_observations(event_id: str) -> Call[models.EventObservations]:
    """The observations generated from one event."""
    path = f"/v1/events/{segment(event_id)}/observations"
    return Call(method="GET", path=path, reply=models.EventObservations, repeatable=True)


def start_session(
    *,
    external_session_id: str | None = None,
    content_session_id: str | None = None,
    agent_id: str | None = None,
    agent_type: str | None = None,
    platform_source: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    project_id: str | None = None,
) -> Call[models.Session]:
    """Start a session, or find the one that has the same external or content id."""
    body = {
        "projectId": project_id or OWN_PROJECT,
        **present(
            externalSessionId=external_session_id,
            contentSessionId=content_session_id,
            agentId=agent_id,
            agentType=agent_type,
            platformSource=platform_source,
            metadata=None if metadata is None else dict(metadata),
        ),
    }
    return Call(
        method="POST",
        path="/v1/sessions/start",
        body=body,
        reply=models.Session,
        unwrap="session",
        repeatable=bool(external_session_id or content_session_id),
    )


def get_session(session_id: str) -> Call[models.Session]:
    """One session, by the server's id."""
    path = f"/v1/sessions/{segment(session_id)}"
    return Call(method="GET", path=path, reply=models.Session, unwrap="session", repeatable=True)


def end_session(session_id: str) -> Call[models.SessionEnd]:
    """End a session, by the server's id, and ask for its summary.

    Ending it again asks for a new summary if events came in since, and changes nothing otherwise.
    """
    path = f"/v1/sessions/{segment(session_id)}/end"
    return Call(method="POST", path=path, body={}, reply=models.SessionEnd, repeatable=True)
