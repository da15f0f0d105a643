"""The provider for the first run: rules instead of a model, no key, no network, and it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.generation.port import ProviderResult, Reply, Usage
from claude_mem.generation.rules import distil, summarise

if TYPE_CHECKING:
    from claude_mem.generation.port import GenerationRequest

METHOD = "rules"


class OfflineProvider:
    """Distils by rule. Deterministic, and free: its usage is zero."""

    name = "offline"
    model = "rules-v1"

    async def generate(self, request: GenerationRequest) -> ProviderResult:
        """Apply the rules. Never fails."""
        if request.kind == "summary":
            summary = summarise(request)
            reply = Reply(summary=summary, skipped=summary is None)
        else:
            observations = distil(request.events, request.mode)
            reply = Reply(observations=observations, skipped=not observations)
        return ProviderResult(
            text=None, reply=reply, usage=Usage(), provider=self.name, model=self.model, method=METHOD
        )

    async def close(self) -> None:
        """Nothing to release."""
