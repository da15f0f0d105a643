"""How people write providers: one name, or a list of fallbacks. Whether such a provider exists is not asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ALIASES: Final = {"anthropic": "claude"}


@dataclass(frozen=True, slots=True)
class Fallback:
    """A provider to ask after the first; a model of None is the provider's default."""

    provider: str
    model: str | None


def normal_provider(name: str) -> str:
    """`name` in lower case, with an alias replaced."""
    lowered = name.strip().lower()
    return ALIASES.get(lowered, lowered)


def read_fallbacks(raw: str) -> tuple[Fallback, ...]:
    """The entries `provider` or `provider:model` between commas; a model's name may hold colons itself."""
    entries = (entry.partition(":") for entry in raw.split(",") if entry.strip())
    return tuple(Fallback(normal_provider(name), model.strip() or None) for name, _, model in entries)
