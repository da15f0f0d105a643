"""Taking waiting operations to the server: which request each becomes, and what its answer means.

- 2xx with the expected JSON: delivered, and forgotten.
- 402, 403: the project's operations wait, for a corrected key or project to recover them; others go on.
- 500 and unlisted 5xx: the session's operations wait; others go on, but a third such answer ends the pass.
- no answer, 401, 408, 425, 429, 502, 503, 504, or an answer not of this API: all wait, and the pass ends.
- any other 4xx (400, 404, 413 …): can never succeed; logged with the server's reason, and dropped.

Within a session nothing overtakes: once one operation waits, all later ones of its session wait. Consecutive
events of one project go as one batch. A crash between an answer and forgetting the entry repeats the entry;
the server knows its `sourceEventId` and keeps one event. Standard library only, because the hook command
imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from claude_mem.client.hook_events import PLATFORM
from claude_mem.client.sender import Reply, Sender, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_mem.client.spool import Entry, Spool

#: Bounds of one batch, so small that its answer comes within a hook's patience.
BATCH_EVENTS = 50
BATCH_BYTES = 1024 * 1024
#: Answers with a server error in one pass after which the server, not the operation, is held responsible.
SERVER_ERRORS_TOLERATED = 3
#: Seconds after which an operation that the server only ever answers with an error of its own is given up.
SERVER_ERROR_PATIENCE = 7 * 24 * 3600.0

_ALL_WAIT_STATUSES = frozenset({401, 408, 425, 429, 502, 503, 504})
_PROJECT_WAITS_STATUSES = frozenset({402, 403})

Operation = dict[str, Any]


class _Waiting(NamedTuple):
    """An entry of the spool and its operation."""

    entry: Entry
    operation: Operation


class Delivery:
    """One pass over waiting operations; its counters say what became of them.

    `stopped` is the reason why the pass ended early, or None. `project_id` is the project of operations
    that name none; when empty, it is the server's only project. `log` gets one line for everything a person
    may have to know.
    """

    def __init__(self, sender: Sender, *, project_id: str, log: Callable[[str], None]) -> None:
        self.delivered = 0
        self.dropped = 0
        self.stopped: str | None = None
        self._sender = sender
        self._project_id = project_id
        self._log = log
        self._session_ids: dict[tuple[str, str], str] = {}
        self._waiting_lanes: set[tuple[str, ...]] = set()
        self._held: set[str] = set()
        self._server_errors = 0

    def run(self, spool: Spool, *, wait: bool = False) -> None:
        """Deliver what waits, until nothing more can be delivered or the pass must end.

        What other processes add meanwhile is delivered too. When another process is delivering, it is left to
        it, or, with `wait`, waited for.
        """
        while self._goes_on() and self._open(spool):
            with spool.delivering(blocking=wait) as mine:
                if not mine:
                    return
                while self._goes_on() and (entries := self._open(spool)):
                    self._deliver(spool, entries)

    def send(self, operation: Operation) -> None:
        """Deliver one operation that is in no spool."""
        if self._goes_on() and not self._must_wait(operation):
            self._settle(operation, age_seconds=0.0)

    def _goes_on(self) -> bool:
        return self.stopped is None

    def _open(self, spool: Spool) -> list[Entry]:
        """The entries this pass has not yet decided to leave."""
        return [entry for entry in spool.entries() if entry.name not in self._held]

    def _deliver(self, spool: Spool, entries: list[Entry]) -> None:
        batch: list[_Waiting] = []
        for entry in entries:
            operation = spool.read(entry)
            if operation is None or operation.get("op") not in ("start", "event", "end"):
                spool.remove(entry)
                continue
            waiting = _Waiting(entry, operation)
            if batch and not _fits(batch, waiting):
                self._deliver_batch(spool, batch)
                batch = []
            batch.append(waiting)
        if batch:
            self._deliver_batch(spool, batch)

    def _deliver_batch(self, spool: Spool, batch: list[_Waiting]) -> None:
        ready = []
        for waiting in batch:
            if self._must_wait(waiting.operation):
                self._held.add(waiting.entry.name)
            else:
                ready.append(waiting)
        if len(ready) > 1 and self._batch_accepted(ready):
            for waiting in ready:
                spool.remove(waiting.entry)
            return
        for waiting in ready:
            if not self._goes_on():
                return
            done = not self._must_wait(waiting.operation) and self._settle(
                waiting.operation, age_seconds=waiting.entry.age_seconds
            )
            if done:
                spool.remove(waiting.entry)
            else:
                self._held.add(waiting.entry.name)

    def _batch_accepted(self, batch: list[_Waiting]) -> bool:
        """Send events at once; False leaves them to be sent one by one, unless the pass has ended."""
        try:
            bodies = [self._event_body(waiting.operation) for waiting in batch]
            reply = self._sender.request("POST", "/v1/events/batch", body=bodies)
        except UnreachableError as error:
            self.stopped = str(error)
            return False
        if reply.accepted_with("events"):
            self.delivered += len(batch)
            return True
        if reply.status in _ALL_WAIT_STATUSES:
            self.stopped = reply.reason
        return False

    def _settle(self, operation: Operation, *, age_seconds: float) -> bool:
        """Send one operation and note what its answer means; True when it need not be kept."""
        try:
            reply = self._request(operation)
        except UnreachableError as error:
            self.stopped = str(error)
            return False
        status = reply.status
        if reply.accepted_with("event" if operation["op"] == "event" else "session"):
            self.delivered += 1
            return True
        if reply.from_elsewhere or status in _ALL_WAIT_STATUSES:
            self.stopped = reply.reason
            return False
        if status in _PROJECT_WAITS_STATUSES:
            self._log(f"operations of project {self._project(operation)!r} wait: {reply.reason}")
            self._waiting_lanes.add(("project", str(operation.get("project"))))
            return False
        if status >= 500 and age_seconds < SERVER_ERROR_PATIENCE:
            return self._note_server_error(operation, reply)
        self.dropped += 1
        self._log(f"dropped {_description(operation)}, the server refused it: {reply.reason}")
        return True

    def _note_server_error(self, operation: Operation, reply: Reply) -> bool:
        self._server_errors += 1
        self._waiting_lanes.add(("session", str(operation.get("project")), str(operation.get("session"))))
        if self._server_errors >= SERVER_ERRORS_TOLERATED:
            self.stopped = reply.reason
        else:
            self._log(f"{_description(operation)} waits: {reply.reason}")
        return False

    def _must_wait(self, operation: Operation) -> bool:
        project, session = str(operation.get("project")), str(operation.get("session"))
        return bool(self._waiting_lanes & {("project", project), ("session", project, session)})

    def _request(self, operation: Operation) -> Reply:
        """The answer to an operation; to the session's start, when that fails and the operation needs it."""
        if operation["op"] == "start":
            return self._start(operation, {**operation["body"], "projectId": self._project(operation)})
        session_id = ""
        if operation["op"] == "end" or operation.get("linked"):
            key = (self._project(operation), operation["session"])
            if key not in self._session_ids:
                reply = self._start(operation, self._bare_start(operation))
                if key not in self._session_ids:
                    return reply
            session_id = self._session_ids[key]
        if operation["op"] == "end":
            return self._sender.request("POST", f"/v1/sessions/{quote(session_id, safe='')}/end", body={})
        return self._sender.request(
            "POST", "/v1/events", body={**self._event_body(operation), "serverSessionId": session_id or None}
        )

    def _start(self, operation: Operation, body: dict[str, Any]) -> Reply:
        """Start or find the session, and remember the server's id of it."""
        reply = self._sender.request("POST", "/v1/sessions/start", body=body)
        session = (reply.body or {}).get("session")
        if reply.accepted and isinstance(session, dict) and isinstance(session.get("id"), str):
            self._session_ids[body["projectId"], operation["session"]] = session["id"]
            return reply
        return reply._replace(body=None) if reply.accepted else reply

    def _bare_start(self, operation: Operation) -> dict[str, Any]:
        return {
            "projectId": self._project(operation),
            "externalSessionId": operation["session"],
            "contentSessionId": operation["session"],
            "platformSource": PLATFORM,
        }

    def _event_body(self, operation: Operation) -> dict[str, Any]:
        return {**operation["body"], "projectId": self._project(operation)}

    def _project(self, operation: Operation) -> str:
        named = operation.get("project")
        if isinstance(named, str) and named:
            return named
        self._project_id = self._project_id or only_project(self._sender)
        return self._project_id


def only_project(sender: Sender) -> str:
    """The id of the only project that the key can see.

    Raises:
        UnreachableError: there is none, or there are several.
    """
    reply = sender.request("GET", "/v1/projects")
    projects = (reply.body or {}).get("projects")
    if not reply.accepted or not isinstance(projects, list) or len(projects) != 1:
        raise UnreachableError(
            "CLAUDE_MEM_SERVER_PROJECT_ID is not set, and the server has not exactly one project"
        )
    return str(projects[0]["id"])


def _fits(batch: list[_Waiting], waiting: _Waiting) -> bool:
    """Whether an operation may join a batch: plain events of one project, within the bounds."""
    operation = waiting.operation
    plain = all(each["op"] == "event" and not each.get("linked") for each in (operation, batch[0].operation))
    same_project = operation.get("project") == batch[0].operation.get("project")
    size = waiting.entry.size + sum(each.entry.size for each in batch)
    return plain and same_project and len(batch) < BATCH_EVENTS and size <= BATCH_BYTES


def _description(operation: Operation) -> str:
    body = operation.get("body") or {}
    kind = body.get("eventType") or operation["op"]
    return f"{kind} {body.get('sourceEventId') or ''} of session {operation.get('session')}"
