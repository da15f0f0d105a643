"""Why an attempt failed, and when the next one is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from claude_mem.model.documents import Document

if TYPE_CHECKING:
    from claude_mem.generation.errors import GenerationError
    from claude_mem.generation.port import Usage
    from claude_mem.model.records import Job


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed.

    Parameters:
        classification: kind of error, as kept in `last_error`.
        reason: for people; names no prompt, key or body.
        retry_after_ms: how long the provider asks to wait.
        usage: tokens that the failed call cost all the same.
    """

    classification: str
    reason: str
    retryable: bool = False
    retry_after_ms: int | None = None
    usage: Usage | None = None
    provider: str = ""
    model: str = ""

    @classmethod
    def of(cls, error: GenerationError) -> Self:
        return cls(
            classification=error.classification,
            reason=error.message,
            retryable=error.retryable,
            retry_after_ms=error.retry_after_ms,
            usage=error.usage,
            provider=error.provider,
            model=error.model,
        )

    @property
    def document(self) -> Document:
        """The job's `last_error`."""
        return Document.of({"reason": self.reason, "classification": self.classification})

    def pause_us(self, job: Job, *, retry_base_s: float) -> int | None:
        """How long the job waits for its next attempt: what the provider asks for, else the base doubled each time.

        Returns: microseconds, or None when this was the end.
        """
        if not self.retryable or job.attempts >= job.max_attempts:
            return None
        delay_s = retry_base_s * 2 ** (job.attempts - 1)
        if self.retry_after_ms is not None:
            delay_s = self.retry_after_ms / 1000
        return int(delay_s * 1_000_000)
