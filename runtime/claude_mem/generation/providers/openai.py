"""OpenRouter and every other server that speaks Chat Completions, by OpenAI's SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import openai

from claude_mem.generation.classification import classify_generic
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
from claude_mem.generation.schema import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.generation.classification import Verdict
    from claude_mem.generation.providers import ProviderOptions

BASE_URL = "https://openrouter.ai/api/v1"
_PATH = "/chat/completions"


class OpenAIProvider(ModelProvider):
    """Asks a Chat Completions server."""

    name = "openrouter"
    label = "OpenRouter"

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__(options)
        self._client = openai.AsyncOpenAI(
            api_key=options.api_key,
            base_url=base_url(options.base_url),
            timeout=options.timeout_s,
            max_retries=0,
            default_headers={  # an OpenAI account named in the environment is no business of another server
                "OpenAI-Organization": openai.omit,  # type: ignore[dict-item]
                "OpenAI-Project": openai.omit,  # type: ignore[dict-item]
            },
            http_client=openai.DefaultAsyncHttpxClient(
                limits=connections(options), timeout=options.timeout_s
            ),
        )

    def _takes_temperature(self) -> bool:
        return True

    def _classify(self, failure: FailedCallError) -> Verdict:
        return classify_generic(failure.status, failure.body, failure.headers)

    async def _send(self, call: Call) -> tuple[str, Mapping[str, str]]:
        optional: dict[str, Any] = {}
        if call.schema is not None:
            wanted = {"name": NAME, "strict": True, "schema": call.schema}
            optional["response_format"] = {"type": "json_schema", "json_schema": wanted}
        if call.temperature is not None:
            optional["temperature"] = call.temperature
        limit = "max_completion_tokens" if call.completion_tokens_name else "max_tokens"
        optional[limit] = MAX_OUTPUT_TOKENS
        try:
            # The SDK's typed method would walk through the whole body again, at a sixth of what a call costs us.
            response = await self._client.post(
                _PATH,
                cast_to=httpx2.Response,
                body={
                    "model": self.model,
                    "messages": [
                        {"role": "system", "content": call.prompt.system},
                        {"role": "user", "content": call.prompt.user},
                    ],
                    **optional,
                },
            )
        except openai.APIStatusError as error:
            failure = FailedCallError(
                error.status_code, body=error.response.text, headers=error.response.headers
            )
        except openai.APITimeoutError:
            failure = FailedCallError(None, timed_out=True)
        except (openai.APIConnectionError, httpx2.HTTPError):
            failure = FailedCallError(None)
        else:
            return response.text, response.headers
        raise failure

    def _embedded_error(self, document: dict[str, Any]) -> dict[str, Any] | None:
        within = member(document, "choices", 0, "error")
        return super()._embedded_error(document) or (within if isinstance(within, dict) else None)

    def _read(self, document: dict[str, Any]) -> Completion:
        message = member(document, "choices", 0, "message")
        content = member(message, "content")
        if isinstance(content, list):  # some compatible servers answer in parts
            content = "\n".join(text for part in content if isinstance(text := member(part, "text"), str))
        text = content.strip() if isinstance(content, str) else ""
        filtered = member(document, "choices", 0, "finish_reason") == "content_filter"
        refused = "refusal" if member(message, "refusal") else "content_filter" if filtered else None
        given = count(member(document, "usage", "prompt_tokens"))
        made = count(member(document, "usage", "completion_tokens"))
        return Completion(
            text=text,
            usage=Usage(given, made, count(member(document, "usage", "total_tokens")) or given + made),
            refusal=None if text else refused,
        )


def base_url(configured: str | None) -> str:
    """Address for the SDK, which adds `/chat/completions` itself, from one given with or without that."""
    return (configured or BASE_URL).rstrip("/").removesuffix(_PATH).rstrip("/")
