"""A language model's HTTP server that does as it is told, in the wire formats of the three real ones.

It speaks Anthropic Messages, OpenAI Chat Completions and Gemini generateContent on one port, so the
providers' own SDKs can be tested against it. In a test:

    async with FakeLlm() as llm:
        llm.script.append(Answer(status=429, headers={"retry-after": "7"}))
        provider = build_provider(name="claude", api_key="k", base_url=llm.url)

As a process, `python -m tests.support.fake_llm --port 0 --mode ok` prints one line of JSON with its URL; its
mode is changed by `POST /_control {"mode": "rate_limit", "delay_ms": 0}`; `GET /_requests` tells what it got.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import json
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from xml.sax.saxutils import escape

from aiohttp import web

KEPT_REQUESTS = 100_000


@dataclass(frozen=True, slots=True)
class Answer:
    """How one request is answered.

    Parameters:
        text: the model's words; None lets the server find its own, fitting the prompt.
        structured: a JSON value, sent as the model's words.
        status: HTTP status; from 400 on, the body is an error of the wire's form.
        message: the error's message; where absent, one that is usual for the status.
        error: the error's own kind, such as `overloaded_error`; where absent, the usual one.
        details: Gemini's error details.
        delay_s: seconds before answering.
        waits_for: what has to happen before the answer.
        hang: never answer.
        reset: cut the connection instead of answering.
        raw: exactly this body, whatever it is.
        document: exactly this JSON document.
        headers: headers to add.
        usage: tokens of prompt and reply; counted roughly where absent.
        stop: the wire's own word for why the reply ended.
    """

    text: str | None = None
    structured: Any = None
    status: int = 200
    message: str | None = None
    error: str | None = None
    details: list[dict[str, Any]] | None = None
    delay_s: float = 0.0
    waits_for: asyncio.Event | None = None
    hang: bool = False
    reset: bool = False
    raw: str | bytes | None = None
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: tuple[int, int] | None = None
    stop: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came.

    Parameters:
        wire: `anthropic`, `openai` or `gemini`.
        path: path and query.
        headers: names in lower case.
        body: the JSON document.
    """

    wire: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def model(self) -> str:
        """The model asked for."""
        if self.wire == "gemini":
            return self.path.split("/models/", 1)[-1].split(":", 1)[0]
        return str(self.body.get("model", ""))

    @property
    def system(self) -> str:
        """The system part."""
        if self.wire == "anthropic":
            return _text(self.body.get("system"))
        if self.wire == "gemini":
            return _text((self.body.get("systemInstruction") or {}).get("parts"))
        return _text([item["content"] for item in self.body.get("messages", []) if item["role"] == "system"])

    @property
    def user(self) -> str:
        """The user part."""
        if self.wire == "gemini":
            return _text([content.get("parts") for content in self.body.get("contents", [])])
        return _text([item["content"] for item in self.body.get("messages", []) if item["role"] == "user"])


Responder = Callable[[Received], Answer]

MODES: dict[str, Answer] = {
    "ok": Answer(),
    "skip": Answer(text="<skip_summary />"),
    "transient": Answer(status=503),
    "overloaded": Answer(status=529),
    "rate_limit": Answer(status=429, headers={"retry-after": "1"}),
    "auth": Answer(status=401),
    "quota": Answer(status=402),
    "bad_request": Answer(status=400),
    "hang": Answer(hang=True),
    "reset": Answer(reset=True),
    "garbage": Answer(raw="<html>not what you asked for</html>"),
    "nonsense": Answer(text="Sure! I would be happy to help with that."),
}


class FakeLlm:
    """The server. Answers are taken from `script`, in order; when it is empty, from `respond`.

    Attributes:
        script: answers for the next requests.
        respond: decides the answer when nothing is scripted.
        requests: the latest requests, oldest first.
        count: number of requests so far.
        peers: addresses from which requests came, one for each connection.
        url: where it listens, without a trailing slash.
    """

    def __init__(self, respond: Responder | None = None, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.script: deque[Answer] = deque()
        self.respond: Responder = respond or (lambda _received: Answer())
        self.requests: deque[Received] = deque(maxlen=KEPT_REQUESTS)
        self.count = 0
        self.peers: set[object] = set()
        self.url = ""
        self._host, self._port = host, port
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/_control", self._control)
        app.router.add_get("/_requests", self._report)
        app.router.add_post("/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        self.url = f"http://{self._host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def last(self) -> Received:
        """The latest request."""
        return self.requests[-1]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        wire = _wire(request.path)
        if wire is None:
            return web.json_response({"error": {"message": f"no such path {request.path}"}}, status=404)
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Received(wire=wire, path=request.path_qs, headers=headers, body=await request.json())
        self.requests.append(received)
        self.peers.add(request.transport and request.transport.get_extra_info("peername"))
        self.count += 1
        answer = self.script.popleft() if self.script else self.respond(received)
        if answer.delay_s:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), answer.delay_s)
        if answer.waits_for is not None:
            await answer.waits_for.wait()
        if answer.hang:
            await self._closing.wait()
        if answer.reset or answer.hang:
            _cut(request)
            return web.Response()
        return _response(received, answer)

    async def _control(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        answer = dataclasses.replace(MODES[wanted["mode"]], delay_s=wanted.get("delay_ms", 0) / 1000)
        self.respond = lambda _received: answer
        return web.json_response({"mode": wanted["mode"]})

    async def _report(self, request: web.Request) -> web.Response:
        most = int(request.query.get("limit", "100"))
        latest = [
            {
                "wire": item.wire,
                "path": item.path,
                "model": item.model,
                "system": item.system,
                "user": item.user,
            }
            for item in list(self.requests)[-most:]
        ]
        return web.json_response({"count": self.count, "requests": latest})


def words(received: Received) -> str:
    """A fitting reply to a prompt: a summary or one observation, always the same for the same prompt."""
    prompt = received.system + received.user
    mark = hashlib.sha256(received.user.encode()).hexdigest()[:12]
    job = _between(received.user, "<generation_job_id>", "</generation_job_id>")
    if "<investigated>" in prompt:
        return (
            f"<summary><request>Work on {mark}</request><investigated>The session's events</investigated>"
            f"<learned>What {mark} means</learned><completed>Everything in {mark}</completed>"
            "<next_steps>None</next_steps><notes></notes></summary>"
        )
    return (
        f"<observation><type>discovery</type><title>Finding {mark}</title>"
        f"<subtitle>From job {escape(job)}</subtitle><facts><fact>Fact of {mark}</fact></facts>"
        f"<narrative>What was seen is known as {mark}.</narrative>"
        "<concepts><concept>how-it-works</concept></concepts>"
        "<files_read></files_read><files_modified></files_modified></observation>"
    )


def _wire(path: str) -> str | None:
    if path.endswith("/v1/messages"):
        return "anthropic"
    if path.endswith("/chat/completions"):
        return "openai"
    return "gemini" if path.endswith(":generateContent") else None


def _response(received: Received, answer: Answer) -> web.Response:
    if answer.raw is not None:
        body = answer.raw.encode() if isinstance(answer.raw, str) else answer.raw
        return web.Response(
            status=answer.status, body=body, headers=answer.headers, content_type="application/json"
        )
    document = answer.document
    if document is None:
        document = _error(received, answer) if answer.status >= 400 else _reply(received, answer)
    return web.json_response(document, status=answer.status, headers=answer.headers)


def _reply(received: Received, answer: Answer) -> dict[str, Any]:
    text = answer.text if answer.text is not None else words(received)
    if answer.structured is not None:
        text = json.dumps(answer.structured)
    given, made = answer.usage or ((len(received.system) + len(received.user)) // 4, len(text) // 4)
    if received.wire == "anthropic":
        return {
            "id": "msg_fake",
            "type": "message",
            "role": "assistant",
            "model": received.model,
            "content": [{"type": "text", "text": text}],
            "stop_reason": answer.stop or "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": given, "output_tokens": made},
        }
    if received.wire == "openai":
        return {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": 1_767_225_600,
            "model": received.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": answer.stop or "stop",
                }
            ],
            "usage": {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made},
        }
    return {
        "candidates": [
            {
                "content": {"role": "model", "parts": [{"text": text}]},
                "finishReason": answer.stop or "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": given,
            "candidatesTokenCount": made,
            "totalTokenCount": given + made,
        },
        "modelVersion": received.model,
    }


_KINDS = {
    400: ("invalid_request_error", "INVALID_ARGUMENT", "The request is malformed"),
    401: ("authentication_error", "UNAUTHENTICATED", "invalid key"),
    402: ("billing_error", "FAILED_PRECONDITION", "Insufficient credits"),
    403: ("permission_error", "PERMISSION_DENIED", "not allowed"),
    404: ("not_found_error", "NOT_FOUND", "no such model"),
    429: ("rate_limit_error", "ABORTED", "Too many requests"),
    500: ("api_error", "INTERNAL", "Internal server error"),
    503: ("api_error", "UNAVAILABLE", "Service unavailable"),
    529: ("overloaded_error", "UNAVAILABLE", "Overloaded"),
}


def _error(received: Received, answer: Answer) -> dict[str, Any]:
    kind, state, message = _KINDS.get(answer.status, ("api_error", "UNKNOWN", "Unknown failure"))
    message = answer.message or message
    if received.wire == "anthropic":
        return {
            "type": "error",
            "error": {"type": answer.error or kind, "message": message},
            "request_id": "req_fake",
        }
    if received.wire == "openai":
        return {"error": {"message": message, "type": answer.error or kind, "code": answer.status}}
    error: dict[str, Any] = {"code": answer.status, "message": message, "status": answer.error or state}
    return {"error": error | ({"details": answer.details} if answer.details else {})}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return str(value.get("text", ""))
    return "\n".join(_text(item) for item in value) if isinstance(value, list) else ""


def _between(text: str, opening: str, closing: str) -> str:
    return text.partition(opening)[2].partition(closing)[0]


def _cut(request: web.Request) -> None:
    """Close the connection with a reset, as a crashed peer does."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def _run(arguments: argparse.Namespace) -> None:
    answer = dataclasses.replace(MODES[arguments.mode], delay_s=arguments.delay_ms / 1000)
    async with FakeLlm(lambda _received: answer, host=arguments.host, port=arguments.port) as llm:
        sys.stdout.write(json.dumps({"url": llm.url}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description="A fake language model's HTTP server for tests.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mode", choices=sorted(MODES), default="ok")
    parser.add_argument("--delay-ms", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
