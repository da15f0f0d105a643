"""The providers, and the factory that makes one by name.

Only the chosen provider's SDK is imported, and only when it is chosen: each costs most of a second and tens
of megabytes.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from claude_mem.generation.prompts import MAX_PROMPT_TOKENS
from claude_mem.generation.providers.offline import OfflineProvider

if TYPE_CHECKING:
    from claude_mem.generation.port import Provider

DEFAULT_MODELS = {
    "claude": "claude-sonnet-5",
    "gemini": "gemini-flash-latest",
    "openrouter": "anthropic/claude-3.5-sonnet",
    "offline": "rules-v1",
}
"""Canonical provider name to the model asked when none is set."""
_CLASSES = {
    "claude": ("claude_mem.generation.providers.anthropic", "AnthropicProvider"),
    "gemini": ("claude_mem.generation.providers.gemini", "GeminiProvider"),
    "openrouter": ("claude_mem.generation.providers.openai", "OpenAIProvider"),
}
ALIASES = {"anthropic": "claude"}
_SDK_LOGGERS = ("anthropic", "openai", "google_genai", "httpx", "httpx2", "httpcore", "httpcore2")


class UnknownProviderError(ValueError):
    """Raised when a provider is asked for by a name that none has; the message lists the names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """What a provider needs to make calls.

    Parameters:
        model: model to ask.
        api_key: the provider's key.
        base_url: where to send requests; None for the provider's own address.
        timeout_s: seconds for one whole call, connecting included.
        max_connections: connections kept and used at once; the worker's concurrency.
        max_prompt_tokens: bound of a prompt, in estimated tokens.
        structured: whether to ask for JSON by schema; a model that refuses that is not asked again.
    """

    model: str
    api_key: str = field(repr=False)
    base_url: str | None
    timeout_s: float
    max_connections: int
    max_prompt_tokens: int
    structured: bool


def canonical_name(name: str) -> str:
    """Canonical provider name of a setting's value: trimmed, in lower case, aliases resolved.

    Raises:
        UnknownProviderError: no provider has that name.
    """
    plain = name.strip().lower()
    canonical = ALIASES.get(plain, plain)
    if canonical not in DEFAULT_MODELS:
        known = ", ".join(DEFAULT_MODELS)
        raise UnknownProviderError(f"there is no provider {name!r}: use one of {known}")
    return canonical


def build_provider(
    *,
    name: str,
    model: str | None = None,
    api_key: str | None = None,
    base_url: str | None = None,
    timeout_s: float = 60.0,
    max_connections: int = 32,
    max_prompt_tokens: int = MAX_PROMPT_TOKENS,
    structured: bool = True,
) -> Provider:
    """Make the provider of that name.

    Parameters:
        name: `claude` (or `anthropic`), `gemini`, `openrouter` (with `base_url` any Chat Completions server),
            or `offline`.
        model, base_url: blank or None for the provider's default.
        api_key: required by all but `offline`.
        timeout_s, max_connections, max_prompt_tokens, structured: as in `ProviderOptions`.

    Raises:
        UnknownProviderError: no provider has that name.
        ValueError: the key is missing.
    """
    canonical = canonical_name(name)
    if canonical == "offline":
        return OfflineProvider()
    key = (api_key or "").strip()
    if not key:
        raise ValueError(f"provider {canonical!r} needs an API key and none is set")
    options = ProviderOptions(
        model=(model or "").strip() or DEFAULT_MODELS[canonical],
        api_key=key,
        base_url=(base_url or "").strip() or None,
        timeout_s=timeout_s,
        max_connections=max_connections,
        max_prompt_tokens=max_prompt_tokens,
        structured=structured,
    )
    module, class_name = _CLASSES[canonical]
    provider: Provider = getattr(importlib.import_module(module), class_name)(options)
    for logger in _SDK_LOGGERS:
        logging.getLogger(logger).setLevel(logging.WARNING)  # below that, they log requests with their bodies
    return provider
