"""Generation: events in, observations and summaries out, by a model or by rule.

Pure of storage and queues: the worker builds a `GenerationRequest`, calls a `Provider`, and stores what
`render_observation` and `render_summary` make of the reply. `build_provider` makes a provider by name.
"""

from __future__ import annotations

from claude_mem.generation.content import Rendered, render_observation, render_summary
from claude_mem.generation.elements import estimate_tokens, event_tokens
from claude_mem.generation.errors import (
    AuthInvalidError,
    Classification,
    GenerationError,
    ParseError,
    ProviderTimeoutError,
    QuotaExhaustedError,
    RateLimitError,
    TransientError,
    UnrecoverableError,
)
from claude_mem.generation.mode import DEFAULT_MODE, Mode, ModeError, ModeLibrary, language_name
from claude_mem.generation.parser import parse_reply
from claude_mem.generation.payload import nothing_left, payload_text
from claude_mem.generation.port import (
    DraftObservation,
    DraftSummary,
    EventInput,
    GenerationRequest,
    ObservationInput,
    Provider,
    ProviderResult,
    Reply,
    Usage,
)
from claude_mem.generation.prompts import Prompt, build_prompt
from claude_mem.generation.providers import (
    DEFAULT_MODELS,
    UnknownProviderError,
    build_provider,
    canonical_name,
)
from claude_mem.generation.rules import is_trivial

__all__ = [
    "DEFAULT_MODE",
    "DEFAULT_MODELS",
    "AuthInvalidError",
    "Classification",
    "DraftObservation",
    "DraftSummary",
    "EventInput",
    "GenerationError",
    "GenerationRequest",
    "Mode",
    "ModeError",
    "ModeLibrary",
    "ObservationInput",
    "ParseError",
    "Prompt",
    "Provider",
    "ProviderResult",
    "ProviderTimeoutError",
    "QuotaExhaustedError",
    "RateLimitError",
    "Rendered",
    "Reply",
    "TransientError",
    "UnknownProviderError",
    "UnrecoverableError",
    "Usage",
    "build_prompt",
    "build_provider",
    "canonical_name",
    "estimate_tokens",
    "event_tokens",
    "is_trivial",
    "language_name",
    "nothing_left",
    "parse_reply",
    "payload_text",
    "render_observation",
    "render_summary",
]
