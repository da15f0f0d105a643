"""What a coding agent's tool call says, whatever form its input and response come in."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.generation.port import clean
from claude_mem.privacy import redact

if TYPE_CHECKING:
    from claude_mem.generation.port import EventInput

_KINDS = {
    "edit": ("edit", "multiedit", "notebookedit", "str_replace", "apply_patch"),
    "write": ("write", "write_file", "create_file"),
    "read": ("read", "read_file", "view", "notebookread"),
    "search": ("grep", "search", "codebase_search"),
    "command": ("bash", "shell", "run_terminal_cmd", "exec_command"),
    "trivial": (
        *("ls", "list_dir", "glob", "todowrite", "todoread", "bashoutput", "killshell"),
        *("exitplanmode", "toolsearch", "sleep"),
    ),
}
_CANONICAL = {name: kind for kind, names in _KINDS.items() for name in names}
_HALF_TEXT = 32_000
_PATH_KEYS = ("file_path", "filePath", "path", "notebook_path", "target_file", "filename")
_TEXT_KEYS = ("stdout", "stderr", "output", "content", "text", "result", "error", "message")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool call.

    Parameters:
        event_id: the event it was reported by.
        tool: the tool's own name.
        kind: `edit`, `write`, `read`, `search`, `command`, `trivial`, or `other` for a tool the rules do
            not know.
        given: its input.
        answered: its response, of any shape.
        cwd: the agent's working directory, empty when unknown.
    """

    event_id: str
    tool: str
    kind: str
    given: Mapping[str, Any]
    answered: Any
    cwd: str

    @property
    def path(self) -> str:
        """The file it is about, relative to the working directory where inside it; empty for none."""
        for source in (self.given, self.answered if isinstance(self.answered, Mapping) else {}):
            for key in _PATH_KEYS:
                if isinstance(value := source.get(key), str) and value.strip():
                    return self.relative(value.strip())
        return ""

    @property
    def text(self) -> str:
        """Text of the response; of a very long one, its beginning and end."""
        whole = response_text(self.answered)
        return whole if len(whole) <= 2 * _HALF_TEXT else f"{whole[:_HALF_TEXT]}\n…\n{whole[-_HALF_TEXT:]}"

    @property
    def failed(self) -> bool:
        """Whether the response itself says that the call failed."""
        if not isinstance(self.answered, Mapping):
            return False
        code = next(
            (self.answered[key] for key in ("exit_code", "exitCode", "code") if key in self.answered), 0
        )
        return (
            self.answered.get("is_error") is True
            or self.answered.get("success") is False
            or code not in (0, None)
        )

    def word(self, *keys: str) -> str:
        """The first non-blank text among the input's `keys`."""
        values = (self.given.get(key) for key in keys)
        return next((value.strip() for value in values if isinstance(value, str) and value.strip()), "")

    def relative(self, path: str) -> str:
        """A path relative to the working directory when it lies inside."""
        prefix = self.cwd.rstrip("/") + "/"
        return posixpath.normpath(path.removeprefix(prefix)) if self.cwd else path


def tool_call(event: EventInput) -> ToolCall | None:
    """The tool call that an event reports, private parts removed; None when its shape is another."""
    payload = redact(event.payload).value if isinstance(event.payload, Mapping) else None
    if payload is None or event.event_type != "tool_use":
        return None
    name = payload.get("tool_name")
    given = _decoded(payload.get("tool_input"))
    if not isinstance(name, str) or not name.strip():
        return None
    cwd = payload.get("cwd")
    return ToolCall(
        event_id=event.id,
        tool=clean(name),
        kind=_CANONICAL.get(name.strip().lower(), "other"),
        given=given if isinstance(given, Mapping) else {"input": given} if given else {},
        answered=_decoded(payload.get("tool_response", payload.get("tool_output"))),
        cwd=cwd if isinstance(cwd, str) else "",
    )


def response_text(answered: Any) -> str:
    """Readable text of a tool's response: a string, known members of an object, or a list of text parts."""
    if isinstance(answered, str):
        return clean(answered)
    if isinstance(answered, list):
        return "\n".join(text for part in answered[:50] if (text := response_text(part)))
    if isinstance(answered, Mapping):
        if isinstance(answered.get("file"), Mapping):
            return response_text(answered["file"])
        texts = (answered.get(key) for key in _TEXT_KEYS)
        return "\n".join(
            text for value in texts if isinstance(value, str | list) and (text := response_text(value))
        )
    return ""


def _decoded(value: Any) -> Any:
    """Some clients send input and response as JSON text."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value
