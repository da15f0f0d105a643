"""Feeding a finished transcript to the server, as if the hooks had been there.

Reading makes a plan: sessions, and their events in the order of the file. Sending it is repeatable, because
every event's id comes from the transcript; those ids are the hooks' ids too, so what a hook already sent is
not there twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from claude_mem.client import hook_events, transcript
from claude_mem.client.errors import ValidationFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from claude_mem.client.sdk import Client

BATCH_EVENTS = 100
BATCH_BYTES = 3 * 1024 * 1024

#: How records begin that stand as a user's, and that nobody typed so.
_NOT_ASKED = ("<command-", "<local-command-", "[Request interrupted by user", "Caveat: The messages below")


@dataclass(slots=True)
class PlannedSession:
    """One session of the transcript: what starts it, and its events as request bodies without a project."""

    start: dict[str, Any]
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class ImportPlan:
    """What a transcript holds. `unanswered` are tool calls without a result, which are not sent."""

    sessions: dict[str, PlannedSession] = field(default_factory=dict)
    bad_lines: int = 0
    unanswered: int = 0

    @property
    def event_count(self) -> int:
        """Events of all sessions."""
        return sum(len(session.events) for session in self.sessions.values())


@dataclass(slots=True)
class ImportReport:
    """What became of a plan: events that are new, that the server had already, and that it refused."""

    sent: int = 0
    duplicates: int = 0
    refused: list[str] = field(default_factory=list)


def read_plan(path: Path) -> ImportPlan:
    """Read a Claude Code transcript.

    Raises:
        OSError: the file cannot be read.
    """
    plan = ImportPlan()
    records = []
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            record = transcript.parse_line(line) if line.strip() else {}
            if record is None:
                plan.bad_lines += 1
            elif record:
                records.append(record)
    reader = _Reader(plan, fallback_session=path.stem, fallback_time=int(path.stat().st_mtime * 1000))
    for record in _with_joined_messages(records):
        reader.read(record)
    plan.unanswered = len(reader.open_calls)
    return plan


def _with_joined_messages(records: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The records, with the assistant's text in the last record of each of its messages."""
    own = (record for record in records if not record.get("isSidechain"))
    texts = {message.id: message.text for message in transcript.assistant_messages(own)}
    for record in records:
        said = texts.get(str(record.get("uuid"))) if record.get("type") == "assistant" else None
        yield record if said is None else {**record, "said": said}


class _Reader:
    """Turns records into a plan's sessions and events."""

    def __init__(self, plan: ImportPlan, *, fallback_session: str, fallback_time: int) -> None:
        self.open_calls: dict[str, dict[str, Any]] = {}
        self._plan = plan
        self._fallback_session = fallback_session
        self._time = fallback_time

    def read(self, record: dict[str, Any]) -> None:
        """Take in one record; types that carry no conversation are passed over."""
        kind = record.get("type")
        if kind not in ("user", "assistant"):
            return
        self._time = _epoch_ms(record.get("timestamp")) or self._time
        session_id = str(record.get("sessionId") or self._fallback_session)
        session = self._session(session_id, record)
        if _is_asked(record):
            self._prompt(session_id, session, record)
        for block in transcript.blocks(record):
            if kind == "assistant" and block.get("type") == "tool_use" and isinstance(block.get("id"), str):
                self.open_calls[block["id"]] = block
            elif kind == "user" and block.get("type") == "tool_result":
                self._tool_result(session_id, session, block=block, record=record)
        if "said" in record:
            payload = hook_events.message_payload(record["said"])
            self._add(
                session_id,
                session,
                event_type="assistant_message",
                payload=payload,
                source_id=str(record["uuid"]),
            )

    def _session(self, session_id: str, record: dict[str, Any]) -> PlannedSession:
        session = self._plan.sessions.get(session_id)
        if session is None:
            start = hook_events.start_body(session_id, record)
            start["metadata"]["source"] = "transcript"
            session = self._plan.sessions[session_id] = PlannedSession(start)
        return session

    def _prompt(self, session_id: str, session: PlannedSession, record: dict[str, Any]) -> None:
        text = transcript.text_of(record)
        session.start["metadata"].setdefault("prompt", hook_events.storable(text, shorten=True))
        source_id = hook_events.prompt_source_id(record.get("promptId"), text) or record.get("uuid")
        if source_id:
            payload = hook_events.prompt_payload(text)
            self._add(session_id, session, event_type="user_prompt", payload=payload, source_id=source_id)

    def _tool_result(
        self, session_id: str, session: PlannedSession, *, block: dict[str, Any], record: dict[str, Any]
    ) -> None:
        call = self.open_calls.pop(str(block.get("tool_use_id")), None)
        if call is None:
            return
        structured = record.get("toolUseResult")
        hook = {
            "tool_name": call.get("name"),
            "tool_input": call.get("input"),
            "cwd": record.get("cwd"),
            "agent_id": record.get("agentId"),
        }
        payload = hook_events.tool_payload(hook, block.get("content") if structured is None else structured)
        self._add(session_id, session, event_type="tool_use", payload=payload, source_id=call["id"])

    def _add(
        self,
        session_id: str,
        session: PlannedSession,
        *,
        event_type: str,
        payload: dict[str, Any],
        source_id: str,
    ) -> None:
        fit = hook_events.storable(payload, shorten=len(json.dumps(payload)) > BATCH_BYTES)
        session.events.append(
            hook_events.event_body(session_id, event_type, fit, source_id=source_id, at=self._time)
        )


def _is_asked(record: dict[str, Any]) -> bool:
    """Whether a hook would have been told of the record as a prompt.

    The agent writes down as a user's what it says to itself, too: a subagent's task, what it kept of a conversation that
    became too long, a command that it took apart, an interruption.
    """
    if record.get("isSidechain") or record.get("isCompactSummary") or not transcript.is_prompt(record):
        return False
    return not transcript.text_of(record).startswith(_NOT_ASKED)


def send_plan(
    client: Client, plan: ImportPlan, *, project_id: str | None, progress: Callable[[int], None]
) -> ImportReport:
    """Start each session, send its events, end it; `progress` is called with the number just sent.

    Raises:
        ClaudeMemApiError: the server could not be used; sending the plan again continues it.
    """
    report = ImportReport()
    for session in plan.sessions.values():
        started = client.start_session(
            external_session_id=session.start["externalSessionId"],
            content_session_id=session.start["contentSessionId"],
            platform_source=session.start["platformSource"],
            metadata=session.start["metadata"],
            project_id=project_id,
        )
        for batch in _batches(session.events):
            linked = [{**event, "serverSessionId": started.id} for event in batch]
            _send_batch(client, linked, report=report, project_id=project_id)
            progress(len(batch))
        client.end_session(started.id)
    return report


def _send_batch(
    client: Client, events: list[dict[str, Any]], *, report: ImportReport, project_id: str | None
) -> None:
    """Send one batch; when the server refuses it, its halves, down to the event that is at fault."""
    named = [{**event, "projectId": project_id} for event in events] if project_id else events
    try:
        receipts = client.record_events(named).events
    except ValidationFailed as error:
        if len(events) == 1:
            report.refused.append(f"{events[0]['sourceEventId']}: {error}")
            return
        middle = len(events) // 2
        _send_batch(client, events[:middle], report=report, project_id=project_id)
        _send_batch(client, events[middle:], report=report, project_id=project_id)
        return
    duplicates = sum(receipt.duplicate for receipt in receipts)
    report.duplicates += duplicates
    report.sent += len(receipts) - duplicates


def _batches(events: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for event in events:
        length = len(json.dumps(event))
        if batch and (len(batch) == BATCH_EVENTS or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield batch


def _epoch_ms(timestamp: object) -> int | None:
    """Milliseconds since the epoch of an ISO 8601 time; None when it is not one."""
    if not isinstance(timestamp, str):
        return None
    try:
        when = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    milliseconds = int((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)
    return milliseconds if milliseconds >= 0 else None
