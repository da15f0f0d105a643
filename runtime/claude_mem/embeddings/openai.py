"""The embeddings route of OpenAI, and of every server that speaks like it, by OpenAI's SDK.

Exceptions of the SDK never leave: they carry requests with texts and keys in them.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import httpx2
import openai
from pydantic import BaseModel, Field, ValidationError

from claude_mem.embeddings.port import NAME, Embedded
from claude_mem.generation.classification import classify_generic
from claude_mem.generation.errors import (
    ERROR_CLASSES,
    GenerationError,
    ParseError,
    ProviderTimeoutError,
    TransientError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import SecretStr

_PATH = "/embeddings"

#: Calls of one process that may be under way at once: a worker has one, the others are searches.
_CONNECTIONS = 32

_ADVICE = {
    "auth_invalid": "the key is refused; check CLAUDE_MEM_EMBEDDINGS_API_KEY",
    "quota_exhausted": "the account's quota or credit is used up; raise it with the service",
    "rate_limit": "called too often; it is tried again later",
    "transient": "a passing failure; it is tried again",
    "unrecoverable": "the request is refused; check CLAUDE_MEM_EMBEDDINGS_BASE_URL, _MODEL and _DIMENSIONS",
}


class _Item(BaseModel):
    index: int | None = None
    embedding: list[float]


class _Usage(BaseModel):
    total_tokens: int = Field(default=0, ge=0)


class _Reply(BaseModel):
    data: list[_Item]
    usage: _Usage | None = None


class OpenAIEmbedder:
    """Asks an embeddings server.

    Parameters:
        base_url: with or without `/embeddings` at its end.
        api_key: None where the server asks for none.
        dimensions: length to ask for; None leaves it to the model.
    """

    def __init__(
        self, *, base_url: str, api_key: SecretStr | None, model: str, dimensions: int | None
    ) -> None:
        self.model = model
        self.dimensions = dimensions
        limits = httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS)
        self._client = openai.AsyncOpenAI(
            api_key=api_key.get_secret_value() if api_key else "none",
            base_url=base_url.rstrip("/").removesuffix(_PATH),
            max_retries=0,
            default_headers={  # an OpenAI account named in the environment is no business of another server
                "OpenAI-Organization": openai.omit,  # type: ignore[dict-item]
                "OpenAI-Project": openai.omit,  # type: ignore[dict-item]
            },
            http_client=openai.DefaultAsyncHttpxClient(limits=limits),
        )

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> Embedded:
        """As the port says."""
        try:
            async with asyncio.timeout(timeout_s):
                text = await self._send(texts, timeout_s)
        except TimeoutError:
            raise self._timed_out(timeout_s) from None
        return self._read(text, count=len(texts))

    async def close(self) -> None:
        """As the port says."""
        await self._client.close()

    async def _send(self, texts: Sequence[str], timeout_s: float) -> str:
        # A client may send half of a surrogate pair, which no body can carry.
        sound = [text.encode(errors="replace").decode() for text in texts]
        body: dict[str, object] = {"model": self.model, "input": sound, "encoding_format": "float"}
        if self.dimensions is not None:
            body["dimensions"] = self.dimensions
        failure: GenerationError
        try:
            # The SDK's typed method would take any answer for a good one.
            response = await self._client.post(
                _PATH, cast_to=httpx2.Response, body=body, options={"timeout": timeout_s}
            )
        except openai.APIStatusError as error:
            failure = self._refused(error.response)
        except openai.APITimeoutError:
            failure = self._timed_out(timeout_s)
        except (openai.APIConnectionError, httpx2.HTTPError):
            failure = TransientError("the embeddings service cannot be reached; it is tried again")
        except openai.OpenAIError as error:
            failure = self._senseless(f"so that the SDK gave up ({type(error).__name__})")
        else:
            return response.text
        raise failure from None

    def _read(self, text: str, *, count: int) -> Embedded:
        try:
            reply = _Reply.model_validate_json(text)
        except ValidationError:
            raise self._senseless("something else than vectors") from None
        given = list(enumerate(reply.data))
        by_text = {at if one.index is None else one.index: one.embedding for at, one in given}
        if len(reply.data) != count or by_text.keys() != set(range(count)):
            raise self._senseless(f"{len(reply.data)} vectors for {count} texts")
        vectors = [by_text[number] for number in range(count)]
        length = self.dimensions or len(vectors[0])
        wrong = next((len(vector) for vector in vectors if len(vector) != length), None)
        if wrong is not None:
            raise self._senseless(
                f"vectors of {wrong} numbers where {length} are due; set CLAUDE_MEM_EMBEDDINGS_DIMENSIONS to "
                f"what the model gives"
            )
        if not all(any(vector) and all(map(math.isfinite, vector)) for vector in vectors):
            raise self._senseless("vectors that point nowhere")
        return Embedded(vectors, reply.usage.total_tokens if reply.usage else 0)

    def _refused(self, response: httpx2.Response) -> GenerationError:
        status = response.status_code
        verdict = classify_generic(status, response.text, response.headers)
        return ERROR_CLASSES[verdict.classification](
            f"the embeddings service answered HTTP {status}: {_ADVICE[verdict.classification]}",
            provider=NAME,
            model=self.model,
            status=status,
            retry_after_ms=verdict.retry_after_ms,
        )

    def _timed_out(self, timeout_s: float) -> ProviderTimeoutError:
        return ProviderTimeoutError(f"the embeddings service did not answer within {timeout_s:g} s")

    def _senseless(self, what: str) -> ParseError:
        return ParseError(
            f"the embeddings service answered {what}", provider=NAME, model=self.model, status=200
        )
