"""A real HTTP server with the memory server's manners: it records requests and keeps each event once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit


class Request(NamedTuple):
    """One request as it arrived; ``query`` holds the last value of each parameter."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Answer(NamedTuple):
    """What to answer: a status, a JSON body (or raw text), and headers."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


Rule = Callable[[Request], Answer | None]

OBSERVATION = {
    "id": "o1",
    "projectId": "p1",
    "teamId": "t1",
    "serverSessionId": None,
    "kind": "discovery",
    "content": "The outbox relay re-sends what is due.",
    "metadata": {"files_read": ["relay.py"]},
    "createdAtEpoch": 1767225600000,
    "updatedAtEpoch": 1767225600000,
    "aKeyOfTomorrow": 1,
}


class RecordingServer:
    """Listens on 127.0.0.1 until closed. ``rule`` may answer in the place of the usual behaviour."""

    def __init__(self, *, port: int = 0, rule: Rule | None = None) -> None:
        self.rule = rule
        self.requests: list[Request] = []
        self.events: list[dict[str, Any]] = []
        self.sessions: dict[str, str] = {}
        self.ended: list[str] = []
        self.context = ""
        self.memories: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Method and path of every request so far."""
        return [(request.method, request.path) for request in self.requests]

    def source_ids(self, session: str | None = None) -> list[str]:
        """The ids of the stored events, in order; of one agent's session, if named."""
        return [
            event["sourceEventId"]
            for event in self.events
            if session is None or event["contentSessionId"] == session
        ]

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
        answer = self.rule(request) if self.rule is not None else None
        return answer or self.usual_answer(request)

    def usual_answer(self, request: Request) -> Answer:
        with self._lock:
            if request.path.endswith("/end"):
                session_id = request.path.split("/")[3]
                self.ended.append(session_id)
                return Answer(200, {"session": _session(session_id, "p1")})
            answers: dict[str, Callable[[], Answer]] = {
                "POST /v1/sessions/start": lambda: self._start(request.body),
                "POST /v1/events": lambda: Answer(201, self._store(request.body)),
                "POST /v1/events/batch": lambda: Answer(
                    201, {"events": [self._store(event) for event in request.body]}
                ),
                "POST /v1/search": lambda: Answer(200, {"observations": [OBSERVATION]}),
                "POST /v1/context": lambda: Answer(200, {"observations": [], "context": self.context}),
                "GET /v1/memories": lambda: Answer(200, {"memories": self.memories}),
                "POST /v1/memories": lambda: Answer(201, {"memory": {**OBSERVATION, **request.body}}),
                "GET /v1/projects": lambda: Answer(200, {"projects": [{"id": "only", "name": "only"}]}),
                "GET /v1/connect": lambda: Answer(200, {"mcpUrl": "u", "connectCommand": "c"}),
                "GET /api/readiness": lambda: Answer(200, {"status": "ready", "mcpReady": True}),
            }
            name = f"{request.method} {request.path}"
            missing = Answer(404, {"error": "NotFound", "message": f"Cannot {name}"})
            return answers[name]() if name in answers else missing

    def _start(self, body: dict[str, Any]) -> Answer:
        external = body["externalSessionId"]
        known = external in self.sessions
        session_id = self.sessions.setdefault(external, f"ses-{external}")
        return Answer(200 if known else 201, {"session": _session(session_id, body["projectId"])})

    def _store(self, event: dict[str, Any]) -> dict[str, Any]:
        duplicate = event["sourceEventId"] in self.source_ids()
        if not duplicate:
            self.events.append(event)
        kept = {"id": f"evt-{event['sourceEventId']}", "receivedAtEpoch": 1, **event}
        return {"event": kept, **({"duplicate": True} if duplicate else {})}


def _session(session_id: str, project_id: str) -> dict[str, Any]:
    return {"id": session_id, "projectId": project_id, "metadata": {}, "startedAtEpoch": 1}


def _handler(owner: RecordingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(raw) if raw else None
            answer = owner.answer(Request(self.command, parts.path, query, headers, body))
            data = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            payload = data.encode()
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - the base class's names

        def log_message(self, *_: object) -> None:
            return

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                return  # a client that was killed, as some tests do

    return Handler
