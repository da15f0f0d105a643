"""The providers that can generate: how each is keyed and addressed.

Leaves how people write their names to `naming`, and talking to them to the generation package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem.environment.catalogue import generation

if TYPE_CHECKING:
    from pydantic import SecretStr

    from claude_mem.environment.variables import Variable

OFFLINE: Final = "offline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider with a model behind it: the variables of its key and base URL, and its default model."""

    name: str
    key: Variable[SecretStr | None]
    base_url: Variable[str | None]
    default_model: str


PROVIDERS: Final[dict[str, Provider]] = {
    provider.name: provider
    for provider in (
        Provider(
            name="claude",
            key=generation.ANTHROPIC_KEY,
            base_url=generation.ANTHROPIC_BASE_URL,
            default_model="claude-sonnet-5",
        ),
        Provider(
            name="gemini",
            key=generation.GEMINI_KEY,
            base_url=generation.GEMINI_BASE_URL,
            default_model="gemini-flash-latest",
        ),
        Provider(
            name="openrouter",
            key=generation.OPENROUTER_KEY,
            base_url=generation.OPENROUTER_BASE_URL,
            default_model="anthropic/claude-3.5-sonnet",
        ),
    )
}
