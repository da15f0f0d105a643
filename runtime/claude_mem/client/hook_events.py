"""What each of a coding agent's hook events means to the memory server, as operations that can wait.

An operation is a plain JSON object that is complete when it is made: it carries its own time and its own id,
so that delivering it later, or twice, gives the same result as delivering it at once. Sessions are named by
the agent's own id; the server's id is looked up at delivery. Nothing here does any network I/O.

    {"op": "start" | "event" | "end", "session": agent's id, "project": id or null, "body": request body}

An event with `"linked": true` is sent with the server's session id.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

from claude_mem.client.transcript import last_answer, tail_records

PLATFORM = "claude"
#: Characters of one text kept when the whole input is too large for the server's 5 MB.
LONGEST_TEXT = 64 * 1024
TRUNCATION_MARK = "[...truncated]"

Operation = dict[str, Any]


def event_name(name: str) -> str:
    """An event's name without regard to case and punctuation: `post-tool-use` is `PostToolUse`."""
    return "".join(character for character in name.lower() if character.isalnum())


def operations(event: str, hook: dict[str, Any], *, project_id: str | None) -> list[Operation]:
    """The operations for one hook event, in the order they must happen in; none for events of no interest.

    Parameters:
        event: the event's name, as `event_name` gives it.
        hook: the agent's JSON.
        project_id: where it belongs; None leaves that to the settings at delivery.

    Raises:
        ValueError: the JSON lacks the session's id.
    """
    builders = {
        "userpromptsubmit": _prompt,
        "posttooluse": _tool_use,
        "posttoolusefailure": _tool_use,
        "stop": _stop,
    }
    build = builders.get(event)
    if build is None:
        return []
    session = hook.get("session_id")
    if not isinstance(session, str) or not session:
        raise ValueError("the hook's JSON has no session_id")
    return [{**operation, "session": session, "project": project_id} for operation in build(session, hook)]


def start_body(session: str, hook: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """The body that starts, or finds, the agent's session."""
    return {
        "externalSessionId": session,
        "contentSessionId": session,
        "agentId": _text(hook.get("agent_id")),
        "agentType": _text(hook.get("agent_type")),
        "platformSource": PLATFORM,
        "metadata": {"project": directory_name(hook), **metadata},
    }


def directory_name(hook: dict[str, Any]) -> str:
    """The name of the directory the agent works in."""
    return Path(_text(hook.get("cwd")) or os.curdir).resolve().name


def event_body(
    session: str, event_type: str, payload: dict[str, Any], *, source_id: str | None, at: int | None = None
) -> dict[str, Any]:
    """The body of one event; `source_id` is a new one and `at` (epoch ms) is now, unless given."""
    return {
        "contentSessionId": session,
        "platformSource": PLATFORM,
        "sourceType": "hook",
        "sourceEventId": source_id or os.urandom(16).hex(),
        "eventType": event_type,
        "occurredAtEpoch": int(time.time() * 1000) if at is None else at,
        "payload": payload,
    }


def tool_payload(hook: dict[str, Any], response: Any) -> dict[str, Any]:
    """The payload of a `tool_use` event."""
    return {
        "tool_name": hook.get("tool_name"),
        "tool_input": hook.get("tool_input"),
        "tool_response": response,
        "cwd": hook.get("cwd"),
        "agentId": _text(hook.get("agent_id")),
        "agentType": _text(hook.get("agent_type")),
        "platformSource": PLATFORM,
    }


def message_payload(text: str) -> dict[str, Any]:
    """The payload of an `assistant_message` event."""
    return {"last_assistant_message": text, "platformSource": PLATFORM}


def prompt_payload(text: str) -> dict[str, Any]:
    """The payload of a `user_prompt` event: the words alone, so that of a private one nothing is left."""
    return {"prompt": text}


def prompt_source_id(prompt_id: str | None, text: str) -> str | None:
    """The id of a prompt's event, the same from a hook and from the transcript; None where the agent gave no id.

    What is added while the agent works has the id of the prompt that it works on, so the words count as well.
    """
    if prompt_id is None:
        return None
    words = hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).hexdigest()
    return f"{prompt_id}:{words[:16]}"


def _prompt(session: str, hook: dict[str, Any]) -> list[Operation]:
    """The session with its latest prompt, and each prompt as an event: a session's metadata has room for one."""
    prompt = hook.get("prompt")
    made: list[Operation] = [{"op": "start", "body": start_body(session, hook, prompt=prompt)}]
    if text := _text(prompt):
        source_id = prompt_source_id(_text(hook.get("prompt_id")), text)
        body = event_body(session, "user_prompt", prompt_payload(text), source_id=source_id)
        made.append({"op": "event", "body": body})
    return made


def _tool_use(session: str, hook: dict[str, Any]) -> list[Operation]:
    response = hook.get("tool_response")
    if response is None and "error" in hook:
        response = {"error": hook["error"]}
    payload = tool_payload(hook, response)
    return [
        {
            "op": "event",
            "body": event_body(session, "tool_use", payload, source_id=_text(hook.get("tool_use_id"))),
        }
    ]


def _stop(session: str, hook: dict[str, Any]) -> list[Operation]:
    made: list[Operation] = [{"op": "start", "body": start_body(session, hook)}]
    text, source_id = _answer(hook)
    if text:
        body = event_body(session, "assistant_message", message_payload(text), source_id=source_id)
        made.append({"op": "event", "linked": True, "body": body})
    return [*made, {"op": "end"}]


def _answer(hook: dict[str, Any]) -> tuple[str | None, str | None]:
    """The turn's last words and, when the transcript already has them, their id there.

    That id is what an import of the transcript uses too, so that hook and import make one event and not two.
    """
    said = _text(hook.get("last_assistant_message"))
    path = _text(hook.get("transcript_path"))
    written = last_answer(tail_records(Path(path).expanduser())) if path else None
    if written is None or (said is not None and said.strip() != written.text.strip()):
        return said, None
    return said or written.text, written.id or None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def storable(value: Any, *, shorten: bool) -> Any:
    """`value` without what no database takes: NUL and lone surrogates become U+FFFD.

    With `shorten`, texts longer than `LONGEST_TEXT` are cut and marked.
    """
    if isinstance(value, str):
        text = value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text[:LONGEST_TEXT] + TRUNCATION_MARK if shorten and len(text) > LONGEST_TEXT else text
    if isinstance(value, list):
        return [storable(item, shorten=shorten) for item in value]
    if isinstance(value, dict):
        return {
            storable(key, shorten=shorten): storable(item, shorten=shorten) for key, item in value.items()
        }
    return value
