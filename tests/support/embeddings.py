"""An embeddings endpoint that does as it is told, in OpenAI's wire format.

Its vectors are made of words by rule: texts that share words, or words that `ALIKE` says mean the same, point the same
way. In a test:

    async with FakeEmbeddings() as endpoint:
        endpoint.script.append(Reply(status=429, headers={"retry-after": "7"}))
"""

from __future__ import annotations

import asyncio
import math
import re
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

DIMENSIONS = 64

#: Words that mean the same, to this model.
ALIKE = {
    "credentials": "secrets",
    "passwords": "secrets",
    "hidden": "masked",
    "redacted": "masked",
    "output": "logs",
    "journal": "logs",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """How one call is answered.

    Parameters:
        raw: exactly this body, whatever it is.
        delay_s: seconds before answering.
        dimensions: the length of the vectors, whatever was asked for.
        waits_for: what has to happen before the answer.
    """

    status: int = 200
    raw: str | None = None
    delay_s: float = 0.0
    dimensions: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    waits_for: asyncio.Event | None = None


def vector_of(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of length 1: each word counts in one place."""
    found = [0.0] * dimensions
    for word in re.findall(r"\w+", text.lower()):
        found[zlib.crc32(ALIKE.get(word, word).encode()) % dimensions] += 1.0
    length = math.sqrt(sum(number * number for number in found)) or 1.0
    return [number / length for number in found]


class FakeEmbeddings:
    """The endpoint, from `__aenter__` to `__aexit__`.

    Parameters:
        embed: makes the vectors of texts.
        port: 0 is any that is free.

    Attributes:
        script: how the next calls are answered; when it is empty, as well as can be.
        refused: a text that holds this is refused with 400, and the call with it.
        calls: the texts of each call.
        keys: what each call was authorised with.
    """

    def __init__(
        self, embed: Callable[[Sequence[str]], list[list[float]]] | None = None, *, port: int = 0
    ) -> None:
        self._embed = embed
        self._port = port
        self.script: deque[Reply] = deque()
        self.always: Reply | None = None
        self.refused: str | None = None
        self.calls: list[list[str]] = []
        self.keys: list[str | None] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    @property
    def texts(self) -> list[str]:
        """All texts that were sent, in their order."""
        return [text for call in self.calls for text in call]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 2**20)
        app.router.add_post("/v1/embeddings", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _answer(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        texts: list[str] = body["input"]
        self.calls.append(texts)
        self.keys.append(request.headers.get("authorization"))
        reply = self.always or (self.script.popleft() if self.script else Reply())
        if reply.waits_for is not None:
            await reply.waits_for.wait()
        if reply.delay_s:
            await asyncio.sleep(reply.delay_s)
        if reply.raw is not None:
            return web.Response(text=reply.raw, status=reply.status, headers=dict(reply.headers))
        if reply.status != 200 or (self.refused and any(self.refused in text for text in texts)):
            error = {"error": {"message": "no", "type": "invalid_request_error"}}
            status = reply.status if reply.status != 200 else 400
            return web.json_response(error, status=status, headers=dict(reply.headers))
        length = reply.dimensions or body.get("dimensions") or DIMENSIONS
        made = self._embed(texts) if self._embed else [vector_of(text, length) for text in texts]
        data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(made)]
        tokens = sum(len(text.split()) for text in texts)
        return web.json_response(
            {
                "object": "list",
                "model": body["model"],
                # Nobody promises an order.
                "data": data[::-1],
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )
