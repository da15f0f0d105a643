"""An answer as it is kept from when it was paid for until what came of it is stored."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from claude_mem.generation.parser import parse_reply
from claude_mem.generation.port import ProviderResult, Usage, clean


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer, as it is kept for each job of its call.

    Parameters:
        default_type: of observations that name none.
    """

    result: ProviderResult
    jobs_of: dict[str, list[str]]
    default_type: str

    def document(self) -> str:
        """Its text in the database."""
        result = self.result
        used = result.usage
        kept = {
            "text": None if result.text is None else clean(result.text),
            "provider": result.provider,
            "model": result.model,
            "usage": [used.input_tokens, used.output_tokens, used.total],
            "jobsOf": self.jobs_of,
            "defaultType": self.default_type,
        }
        return orjson.dumps(kept).decode()

    @classmethod
    def read(cls, document: str, *, default_type: str) -> KeptAnswer:
        """Raises: GenerationError when the text cannot be read as a reply after all."""
        kept = orjson.loads(document)
        default_type = kept.get("defaultType", default_type)
        reply = parse_reply(kept["text"], default_type=default_type, event_ids=list(kept["jobsOf"]))
        spent = Usage(*kept["usage"])
        result = ProviderResult(kept["text"], reply, spent, kept["provider"], kept["model"])
        return cls(result, kept["jobsOf"], default_type)
