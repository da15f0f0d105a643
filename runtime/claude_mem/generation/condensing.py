"""What a model need not be told: echoes, flags that say nothing, the middle of long outputs, texts it has had.

Only what a known shape makes certain goes: a tool's own input given back, switches that are off, and lines of a
long output between its beginning and its end. Turning what is left into text is `payload`'s task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import accumulate, groupby, takewhile
from typing import Any

OUTPUT = "output"
"""What a tool's response is called in a condensed payload."""
REPEATED_CHARACTERS = 300
"""Characters from which on a text that was sent before is referred to; a shorter one is about as long as that."""
LONG_OUTPUT = 8_000
"""Characters from which on an output of many lines is told by its beginning and its end."""
_HEAD, _TAIL = 4_000, 2_000
_SAME_LINES = 4
_SHOWN_CHARACTERS = 60
_TRANSPORT_KEYS = frozenset({"agentId", "agentType", "platformSource"})
_SHORT_NAMES = {"tool_name": "tool", "tool_input": "input", "tool_response": OUTPUT}
_EDIT_TOOLS = frozenset({"Edit", "MultiEdit", "Write", "NotebookEdit"})
_EDIT_ECHO = frozenset({"originalFile", "structuredPatch", "userModified", "replaceAll", "gitDiff"})
_SWITCHES = frozenset({"interrupted", "isImage", "noOutputExpected", "replace_all", "truncated", "numFiles"})
_TIMINGS = frozenset({"durationMs", "durationSeconds", "totalDurationMs"})
_LINE_COUNTS = ("startLine", "numLines", "totalLines")
_NOTHING: tuple[object, ...] = (None, "", [], {})
_MOST_DEPTH = 3


def condensed(payload: Any, *, cwd: str | None = None) -> Any:
    """A payload without what carries nothing, a tool's parts by shorter names; anything but an object as it is.

    A response in which nothing is left is left out: the tool did what it was told, and had nothing to say.

    Parameters:
        cwd: the working directory that the reader knows already; it is left out where it is the same.
    """
    if not isinstance(payload, Mapping):
        return payload
    kept = {key: value for key, value in payload.items() if key not in _TRANSPORT_KEYS}
    if cwd is not None and kept.get("cwd") == cwd:
        del kept["cwd"]
    if not names_tool(kept):
        return kept
    tool, given, answered = (kept.get(key) for key in _SHORT_NAMES)
    if isinstance(given, Mapping):
        kept["tool_input"] = {key: value for key, value in given.items() if not _is_off(key, value)}
        if isinstance(answered, Mapping):
            echo = _EDIT_ECHO if tool in _EDIT_TOOLS else frozenset()
            echoed = [value for value in given.values() if isinstance(value, str) and value]
            kept["tool_response"] = _told(
                {key: value for key, value in answered.items() if key not in echo}, echoed, 0
            )
    if kept.get("tool_response") in _NOTHING:
        kept.pop("tool_response", None)
    return {_SHORT_NAMES.get(key, key): value for key, value in kept.items()}


def names_tool(payload: Any) -> bool:
    """Whether a payload is that of a tool's call, of the shape that `condensed` knows."""
    known = isinstance(payload, Mapping) and isinstance(payload.get("tool_name"), str)
    return known and not payload.keys() & _SHORT_NAMES.values()


def excerpt(text: str) -> str:
    """A long output by its beginning and its end, with runs of one line told once; a short one as it is.

    One without lines to leave out is given back whole: its reader cuts it where it must end.
    """
    if len(text) <= LONG_OUTPUT:
        return text
    lines = [line for line, run in groupby(text.split("\n")) for line in _run(line, sum(1 for _ in run))]
    head = _within(lines, _HEAD)
    tail = _within(reversed(lines[head:]), _TAIL)
    missing = len(lines) - head - tail
    if not head or not tail or missing < 2:
        return "\n".join(lines)
    return "\n".join([*lines[:head], f"[... {missing} lines left out ...]", *lines[-tail:]])


def digest(text: str) -> bytes | None:
    """What a text is known by when it comes again; None for one that is too short to refer to."""
    if len(text) < REPEATED_CHARACTERS:
        return None
    return hashlib.blake2b(text.strip().encode("utf-8", "replace"), digest_size=8).digest()


class Repeats:
    """Long texts that the model has had, and what stands for them when they come again.

    Parameters:
        earlier: digests of the texts in earlier calls of the session.
    """

    def __init__(self, earlier: Iterable[bytes] = ()) -> None:
        self._known: dict[bytes, str] = dict.fromkeys(earlier, "earlier in this session")

    def refer(self, text: str, *, number: int) -> str | None:
        """What stands for a text in the event of this number: None where it must be given whole."""
        key = digest(text)
        if key is None:
            return None
        place = self._known.setdefault(key, f"in event {number}")
        if place == f"in event {number}":
            return None
        body = text.strip()
        begins = body.partition("\n")[0][:_SHOWN_CHARACTERS]
        return f"[the same text as {place}, {body.count(chr(10)) + 1} lines, beginning: {begins}]"


def _told(answered: Mapping[str, Any], echoed: list[str], depth: int) -> dict[str, Any]:
    start, count, total = (answered.get(key) for key in _LINE_COUNTS)
    whole = start == 1 and count == total
    kept = {}
    for key, value in answered.items():
        if isinstance(value, Mapping) and depth < _MOST_DEPTH:
            below = _told(value, echoed, depth + 1)
            if below:
                kept[key] = below
        elif not (
            value in _NOTHING
            or _is_off(key, value)
            or key in _TIMINGS
            or (isinstance(value, str) and value in echoed)
            or (whole and key in _LINE_COUNTS)
            or (key == "type" and value == "text")
        ):
            kept[key] = value
    return kept


def _is_off(key: str, value: Any) -> bool:
    return key in _SWITCHES and not value


def _run(line: str, times: int) -> list[str]:
    return [line] * times if times < _SAME_LINES else [line, f"[the same line {times - 1} more times]"]


def _within(lines: Iterable[str], characters: int) -> int:
    """How many of the lines fit."""
    sizes = accumulate(len(line) + 1 for line in lines)
    return sum(1 for _ in takewhile(lambda size: size <= characters, sizes))
