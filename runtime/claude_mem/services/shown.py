"""Which long texts a session's calls had in them, so that a text that comes again is not paid for again.

This is a memory of one process, and a small one: who has forgotten sends a text once more, which costs tokens and
nothing else. Only what a model answered to is remembered; a call that failed showed nobody anything.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from claude_mem.generation.payload import text_digests

if TYPE_CHECKING:
    from claude_mem.generation.port import GenerationRequest

SESSIONS = 1_000
"""Sessions that are remembered; the one that was quiet longest is forgotten first."""
TEXTS = 500
"""Texts of a session that are remembered; a session with more begins anew."""


class ShownTexts:
    """What the calls of sessions had in them."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, frozenset[bytes]] = OrderedDict()

    def before(self, request: GenerationRequest) -> frozenset[bytes]:
        """What the session's earlier calls showed; nothing for events without a session."""
        return self._sessions.get(request.server_session_id or "", frozenset())

    def add(self, request: GenerationRequest) -> None:
        """Remember what a call showed that was answered."""
        session = request.server_session_id
        found = set().union(*(text_digests(event.payload) for event in request.events)) if session else set()
        if not session or not found:
            return
        known = self._sessions.pop(session, frozenset())
        self._sessions[session] = frozenset(found if len(known) + len(found) > TEXTS else known | found)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
