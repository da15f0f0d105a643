"""What the providers with a model behind them share: prompt, one timed call, adaptation, errors, parsing.

A subclass makes the call with its SDK and reads that wire's documents. Exceptions of an SDK never leave: they
carry requests with prompts and keys in them.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import httpx2

from claude_mem.generation.errors import (
    ERROR_CLASSES,
    GenerationError,
    ParseError,
    ProviderTimeoutError,
    UnrecoverableError,
)
from claude_mem.generation.parser import parse_reply
from claude_mem.generation.port import ProviderResult, Usage
from claude_mem.generation.prompts import Prompt, build_prompt
from claude_mem.generation.providers.documents import read_document
from claude_mem.generation.schema import reply_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.generation.classification import Verdict
    from claude_mem.generation.port import GenerationRequest
    from claude_mem.generation.providers import ProviderOptions

MAX_OUTPUT_TOKENS = 4096
TEMPERATURE = 0.3
_ADVICE = {
    "auth_invalid": "the API key is refused; check it",
    "quota_exhausted": "the account's quota or credit is used up; raise it with the provider",
    "rate_limit": "called too often; it is tried again later",
    "transient": "a passing failure; it is tried again",
    "unrecoverable": "the request is refused",
}


class FailedCallError(Exception):
    """Raised by a subclass when a call failed; says what came back and nothing of what was sent.

    Parameters:
        status: HTTP status, None when no response came.
        body: text of the response; only looked at, never shown.
        headers: headers of the response.
        timed_out: whether the SDK gave up waiting.
    """

    def __init__(
        self,
        status: int | None,
        *,
        body: str = "",
        headers: Mapping[str, str] | None = None,
        timed_out: bool = False,
    ) -> None:
        super().__init__("call failed")
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.timed_out = timed_out


@dataclass(frozen=True, slots=True)
class Call:
    """One call to make.

    Parameters:
        prompt: what to say.
        schema: JSON schema to ask for, None for free text.
        temperature: None where the model takes none.
        completion_tokens_name: whether the limit of output goes by its newer name (Chat Completions only).
    """

    prompt: Prompt
    schema: dict[str, Any] | None
    temperature: float | None
    completion_tokens_name: bool


@dataclass(frozen=True, slots=True)
class Completion:
    """What a provider answered.

    Parameters:
        text: text of the reply.
        usage: tokens as reported.
        refusal: the provider's word for why it would not answer, such as `refusal`; None when it did.
    """

    text: str
    usage: Usage
    refusal: str | None = None


@dataclass(slots=True)
class _Abilities:
    """What the model is taken to understand, until it says otherwise."""

    structured: bool
    temperature: bool
    completion_tokens_name: bool = False


_STRUCTURED_WORDS = (
    "output_config", "output_format", "response_format", "json_schema", "structured output", "json mode",
    "responsejsonschema", "response_json_schema", "response_schema", "response_mime_type",
)  # fmt: skip
"""Any of them in a refused request's body: it is structured output that the model does not know."""
_STATUS_OF = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Statuses that belong to the types of errors which arrive with status 200."""


class ModelProvider(ABC):
    """Base of the providers that ask a model."""

    name: ClassVar[str]
    label: ClassVar[str]
    """Name for people, as in error messages."""
    _client: Any
    """The SDK's client. Where its `close` does not end the connections, the subclass has a `close` of its own."""

    def __init__(self, options: ProviderOptions) -> None:
        self.model = options.model
        self._timeout_s = options.timeout_s
        self._max_prompt_tokens = options.max_prompt_tokens
        self._abilities = _Abilities(structured=options.structured, temperature=self._takes_temperature())

    async def generate(self, request: GenerationRequest) -> ProviderResult:
        """Make one call; where the model refuses an optional parameter, one more without it.

        Raises:
            GenerationError: the call failed; its class says whether to try again.
        """
        prompt = build_prompt(request, max_tokens=self._max_prompt_tokens)
        schema = reply_schema(request.kind, attributed=len(request.events) > 1)
        completion = await self._complete(prompt, schema)
        if completion.refusal:
            message = f"{self.label} declined to answer ({completion.refusal})"
            raise self._described(UnrecoverableError(message, usage=completion.usage))
        try:
            reply = parse_reply(
                completion.text,
                default_type=request.mode.default_type,
                event_ids=[event.id for event in request.events],
            )
        except ParseError as error:
            error.usage = completion.usage
            raise self._described(error) from None
        return ProviderResult(
            text=completion.text, reply=reply, usage=completion.usage, provider=self.name, model=self.model
        )

    async def close(self) -> None:
        """Close the SDK's client, and its connections."""
        await self._client.close()

    @abstractmethod
    async def _send(self, call: Call) -> tuple[str, Mapping[str, str]]:
        """Make the call and return the text and headers of a response with status 200.

        Raises:
            FailedCallError: anything else came, or nothing.
        """

    @abstractmethod
    def _read(self, document: dict[str, Any]) -> Completion:
        """Read a response's document; parts that are missing or of another shape count as empty."""

    @abstractmethod
    def _classify(self, failure: FailedCallError) -> Verdict:
        """The class of a failure by this provider's rules."""

    @abstractmethod
    def _takes_temperature(self) -> bool:
        """Whether the model is known to accept a temperature."""

    async def _complete(self, prompt: Prompt, schema: dict[str, Any]) -> Completion:
        while True:
            call = Call(
                prompt=prompt,
                schema=schema if self._abilities.structured else None,
                temperature=TEMPERATURE if self._abilities.temperature else None,
                completion_tokens_name=self._abilities.completion_tokens_name,
            )
            try:
                async with asyncio.timeout(self._timeout_s):
                    text, headers = await self._send(call)
            except TimeoutError:
                failure = FailedCallError(None, timed_out=True)
            except FailedCallError as error:
                failure = error
            else:
                return self._understood(text, headers)
            if not self._adapt(call, failure):
                raise self._error(failure)

    def _adapt(self, call: Call, failure: FailedCallError) -> bool:
        """Drop the optional parameter that a refusal names; whether there was one to drop."""
        if failure.status not in (400, 404, 422):
            return False
        text = failure.body.lower()
        if call.schema is not None and any(word in text for word in _STRUCTURED_WORDS):
            self._abilities.structured = False
        elif call.temperature is not None and "temperature" in text:
            self._abilities.temperature = False
        elif not call.completion_tokens_name and "max_completion_tokens" in text:
            self._abilities.completion_tokens_name = True
        else:
            return False
        return True

    def _understood(self, text: str, headers: Mapping[str, str]) -> Completion:
        document = read_document(text)
        if document is None:
            raise self._described(ParseError(f"{self.label} returned invalid JSON", status=200))
        if (error := self._embedded_error(document)) is not None:
            code = error.get("code")
            known = isinstance(code, int) and 400 <= code <= 599
            status = code if known else _STATUS_OF.get(str(error.get("type")), 200)
            raise self._error(FailedCallError(status, body=text, headers=headers))
        return self._read(document)

    def _embedded_error(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """The error that a response carries although its status is 200."""
        error = document.get("error")
        if not error:
            return None
        return error if isinstance(error, dict) else {"message": str(error)}

    def _error(self, failure: FailedCallError) -> GenerationError:
        if failure.timed_out:
            message = f"{self.label} did not answer within {self._timeout_s:g} s; it is tried again"
            return self._described(ProviderTimeoutError(message))
        verdict = self._classify(failure)
        if failure.status is None:
            message = f"{self.label} cannot be reached; it is tried again"
        else:
            message = f"{self.label} answered HTTP {failure.status}: {_ADVICE[verdict.classification]}"
        document = read_document(failure.body)
        usage = self._read(document).usage if document else None
        return self._described(
            ERROR_CLASSES[verdict.classification](
                message,
                status=failure.status,
                category=verdict.category,
                retry_after_ms=verdict.retry_after_ms,
                usage=usage if usage and usage.total else None,
            )
        )

    def _described(self, error: GenerationError) -> GenerationError:
        error.provider, error.model = self.name, self.model
        return error


def connections(options: ProviderOptions) -> httpx2.Limits:
    """As many connections as may be used at once, all of them kept: a new one costs a handshake."""
    return httpx2.Limits(
        max_connections=options.max_connections, max_keepalive_connections=options.max_connections
    )
