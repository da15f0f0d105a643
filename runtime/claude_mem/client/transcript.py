"""Reading Claude Code's transcript: a file of one JSON record a line, written while the agent works.

What the records mean to the memory server is left to `hook_events` and `transcript_import`. Lines that
are not records are counted, never fatal: the agent may be writing the last one. Standard library only,
because the hook command imports it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: Bytes at the end of a transcript in which the last answer is looked for.
TAIL_BYTES = 512 * 1024


class AssistantMessage(NamedTuple):
    """What the assistant said in one message: the id of its last record, its text and its time (ISO 8601)."""

    id: str
    text: str
    timestamp: str


def parse_line(line: str) -> dict[str, Any] | None:
    """One record, or None when the line does not hold one."""
    try:
        record = json.loads(line, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def tail_records(path: Path, *, max_bytes: int = TAIL_BYTES) -> list[dict[str, Any]]:
    """The records wholly in the last `max_bytes` of the file, oldest first; none if it cannot be read."""
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, 2)
            start = max(0, size - max_bytes)
            stream.seek(start)
            lines = stream.read(max_bytes).split(b"\n")
    except OSError:
        return []
    whole = lines[1:] if start else lines
    records = (parse_line(line.decode("utf-8", "replace")) for line in whole if line.strip())
    return [record for record in records if record is not None]


def blocks(record: dict[str, Any]) -> list[dict[str, Any]]:
    """A record's content blocks; plain text counts as one text block."""
    message = record.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def text_of(record: dict[str, Any]) -> str:
    """The text a record's blocks hold, without tool calls, tool results and thinking."""
    texts = (block.get("text") for block in blocks(record) if block.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str) and text.strip())


def is_prompt(record: dict[str, Any]) -> bool:
    """Whether the record is something a person asked, not a tool's result or the agent's own note."""
    if record.get("type") != "user" or record.get("isMeta"):
        return False
    return not any(block.get("type") == "tool_result" for block in blocks(record)) and bool(text_of(record))


def assistant_messages(records: Iterable[dict[str, Any]]) -> Iterator[AssistantMessage]:
    """The assistant's messages that hold text, in order.

    The agent writes one record for each block of a message; records of the same message are joined again.
    """
    current: AssistantMessage | None = None
    current_key: object = None
    for record in records:
        if record.get("type") != "assistant" or not (text := text_of(record)):
            continue
        message = record["message"]
        key = message.get("id") or record.get("uuid")
        if current is not None and key == current_key:
            text = f"{current.text}\n{text}"
        elif current is not None:
            yield current
        current = AssistantMessage(
            str(record.get("uuid") or key or ""), text, str(record.get("timestamp") or "")
        )
        current_key = key
    if current is not None:
        yield current


def last_answer(records: list[dict[str, Any]]) -> AssistantMessage | None:
    """What the assistant said last since the latest prompt, subagents left out."""
    own = [record for record in records if not record.get("isSidechain")]
    prompts = [index for index, record in enumerate(own) if is_prompt(record)]
    answers = list(assistant_messages(own[prompts[-1] + 1 :] if prompts else own))
    return answers[-1] if answers else None
