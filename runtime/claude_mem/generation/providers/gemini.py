"""Gemini, by Google's SDK and generateContent. The key travels in a header, never in the address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx2
from google import genai
from google.genai import errors, types

from claude_mem.generation.classification import classify_gemini
from claude_mem.generation.port import Usage
from claude_mem.generation.providers.base import (
    MAX_OUTPUT_TOKENS,
    Call,
    Completion,
    FailedCallError,
    ModelProvider,
    connections,
)
from claude_mem.generation.providers.documents import count, member

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.generation.classification import Verdict
    from claude_mem.generation.providers import ProviderOptions

BASE_URL = "https://generativelanguage.googleapis.com"
API_VERSION = "v1beta"
"""The version that knows response schemas for every model."""
_VERSION = re.compile(r"/(v\d\w*)$")
_REFUSED = frozenset({"SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII", "RECITATION"})


class GeminiProvider(ModelProvider):
    """Asks Gemini."""

    name = "gemini"
    label = "Gemini"

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__(options)
        address, version = base_url(options.base_url)
        # With a client of our own the SDK does not use aiohttp, where it would repeat failed calls by itself.
        self._http = httpx2.AsyncClient(limits=connections(options), timeout=options.timeout_s)
        self._client = genai.Client(
            vertexai=False,
            api_key=options.api_key,
            http_options=types.HttpOptions(
                base_url=address,
                api_version=version,
                timeout=round(options.timeout_s * 1000),
                httpx_async_client=self._http,
            ),
        )

    async def close(self) -> None:
        """Close the SDK's clients."""
        await self._client.aio.aclose()
        self._client.close()
        await self._http.aclose()

    def _takes_temperature(self) -> bool:
        return True

    def _classify(self, failure: FailedCallError) -> Verdict:
        return classify_gemini(failure.status, failure.body, failure.headers)

    async def _send(self, call: Call) -> tuple[str, Mapping[str, str]]:
        structured = call.schema is not None
        config = types.GenerateContentConfig(
            system_instruction=call.prompt.system,
            temperature=call.temperature,
            max_output_tokens=MAX_OUTPUT_TOKENS,
            response_mime_type="application/json" if structured else None,
            response_json_schema=call.schema,
            should_return_http_response=True,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        try:
            response = await self._client.aio.models.generate_content(
                model=self.model, contents=call.prompt.user, config=config
            )
        except errors.APIError as error:
            headers = getattr(error.response, "headers", {})
            failure = FailedCallError(error.code, body=_body(error), headers=headers)
        except httpx2.TimeoutException:
            failure = FailedCallError(None, timed_out=True)
        except (httpx2.HTTPError, UnicodeDecodeError, RecursionError):  # the SDK reads error bodies as JSON
            failure = FailedCallError(None)
        else:
            raw = response.sdk_http_response
            return (raw and raw.body) or "", (raw and raw.headers) or {}
        raise failure

    def _read(self, document: dict[str, Any]) -> Completion:
        candidate = member(document, "candidates", 0)
        parts = member(candidate, "content", "parts")
        texts = [
            text
            for part in (parts if isinstance(parts, list) else ())
            if isinstance(text := member(part, "text"), str) and not member(part, "thought")
        ]
        text = "".join(texts).strip()
        finish = member(candidate, "finishReason")
        blocked = member(document, "promptFeedback", "blockReason") or (
            finish if finish in _REFUSED else None
        )
        spent = document.get("usageMetadata")
        given = count(member(spent, "promptTokenCount"))
        made = count(member(spent, "candidatesTokenCount")) + count(member(spent, "thoughtsTokenCount"))
        return Completion(
            text=text,
            usage=Usage(given, made, count(member(spent, "totalTokenCount")) or given + made),
            refusal=blocked if isinstance(blocked, str) and not text else None,
        )


def _body(error: errors.APIError) -> str:
    text = getattr(error.response, "text", "")
    return text if isinstance(text, str) else ""


def base_url(configured: str | None) -> tuple[str, str]:
    """Address and API version for the SDK, from an address given with or without a version."""
    address = (configured or BASE_URL).rstrip("/")
    match = _VERSION.search(address)
    return (address[: match.start()], match.group(1)) if match else (address, API_VERSION)
