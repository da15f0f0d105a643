"""Claude, by Anthropic's SDK and the Messages API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2

from claude_mem.generation.classification import classify_claude
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

BASE_URL = "https://api.anthropic.com"
_PATH = "/v1/messages"
API_VERSION = "2023-06-01"
"""The version that gateways and compatible servers know; later ones refuse `temperature` from every model."""
_WITH_TEMPERATURE = re.compile(r"claude-(?:instant|[23]|(?:opus|sonnet|haiku)-4(?:-[0-6])?(?!\d|-[789]))")
_REFUSED = frozenset({"refusal"})


class AnthropicProvider(ModelProvider):
    """Asks Claude."""

    name = "claude"
    label = "Claude"

    def __init__(self, options: ProviderOptions) -> None:
        super().__init__(options)
        self._client = anthropic.AsyncAnthropic(
            api_key=options.api_key,
            base_url=base_url(options.base_url),
            timeout=options.timeout_s,
            max_retries=0,
            default_headers={
                "anthropic-version": API_VERSION,
                "x-api-key": options.api_key,
                "Authorization": anthropic.omit,  # type: ignore[dict-item]
            },
            open_telemetry=False,
            http_client=anthropic.DefaultAsyncHttpxClient(
                limits=connections(options), timeout=options.timeout_s
            ),
        )

    def _takes_temperature(self) -> bool:
        """Claude takes a temperature up to generation 4.6; later generations refuse the request for it."""
        return "claude" not in self.model or _WITH_TEMPERATURE.search(self.model) is not None

    def _classify(self, failure: FailedCallError) -> Verdict:
        return classify_claude(failure.status, failure.body, failure.headers)

    async def _send(self, call: Call) -> tuple[str, Mapping[str, str]]:
        optional: dict[str, Any] = {}
        if call.schema is not None:
            optional["output_config"] = {"format": {"type": "json_schema", "schema": call.schema}}
        if call.temperature is not None:
            optional["temperature"] = call.temperature
        try:
            # The SDK's typed method would walk through the whole body again.
            response = await self._client.post(
                _PATH,
                cast_to=httpx2.Response,
                body={
                    "model": self.model,
                    "max_tokens": MAX_OUTPUT_TOKENS,
                    "system": call.prompt.system,
                    "messages": [{"role": "user", "content": call.prompt.user}],
                    **optional,
                },
            )
        except anthropic.APIStatusError as error:
            failure = FailedCallError(
                error.status_code, body=error.response.text, headers=error.response.headers
            )
        except anthropic.APITimeoutError:
            failure = FailedCallError(None, timed_out=True)
        except (anthropic.APIConnectionError, httpx2.HTTPError):
            failure = FailedCallError(None)
        else:
            return response.text, response.headers
        raise failure

    def _read(self, document: dict[str, Any]) -> Completion:
        blocks = document.get("content")
        texts = (member(block, "text") for block in blocks) if isinstance(blocks, list) else ()
        reason = document.get("stop_reason")
        spent = document.get("usage")
        given = sum(
            count(member(spent, key))
            for key in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        )
        made = count(member(spent, "output_tokens"))
        return Completion(
            text="\n".join(text for text in texts if isinstance(text, str)).strip(),
            usage=Usage(given, made, given + made),
            refusal=reason if reason in _REFUSED else None,
        )


def base_url(configured: str | None) -> str:
    """Address for the SDK, which adds `/v1/messages` itself, from one given with or without that."""
    address = (configured or BASE_URL).rstrip("/")
    return address.removesuffix("/messages").removesuffix("/v1")
