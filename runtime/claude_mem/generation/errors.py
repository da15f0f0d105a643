"""Errors of a provider call, one class for each way on.

    GenerationError
    ├── TransientError              try again soon: network, overload, 5xx
    │   └── ProviderTimeoutError    no full answer within the time allowed
    ├── RateLimitError              try again after `retry_after_ms`
    ├── AuthInvalidError            the key is refused; a person must act
    ├── QuotaExhaustedError         the account's credit is used up; a person must act
    ├── UnrecoverableError          this request will never be accepted
    └── ParseError                  an answer came, but it holds nothing usable

Messages name the provider and the status; bodies, prompts and keys never enter them. Deciding the class from
a response is `classification`'s task.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from claude_mem.generation.port import Usage

Classification = Literal[
    "transient", "rate_limit", "auth_invalid", "quota_exhausted", "unrecoverable", "parse_error"
]


class GenerationError(Exception):
    """Raised when a provider call gave no usable reply.

    Parameters:
        message: what happened and what to do; safe to store and show.
        provider: canonical provider name, empty when no provider was involved.
        model: model asked.
        status: HTTP status, None when no response came.
        category: a finer reason where one is known, such as `context_limit`.
        retry_after_ms: how long the provider asks to wait, milliseconds.
        usage: tokens the provider reported for the failed call, None when it reported none.
    """

    classification: ClassVar[Classification] = "unrecoverable"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        category: str | None = None,
        retry_after_ms: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.provider = provider
        self.model = model
        self.status = status
        self.category = category
        self.retry_after_ms = retry_after_ms
        self.usage = usage


class TransientError(GenerationError):
    """Raised when the same call may well work in a moment."""

    classification = "transient"
    retryable = True


class ProviderTimeoutError(TransientError):
    """Raised when the provider did not answer in full within the time allowed."""


class RateLimitError(GenerationError):
    """Raised when the provider asks to be called less often."""

    classification = "rate_limit"
    retryable = True


class AuthInvalidError(GenerationError):
    """Raised when the provider refuses the key."""

    classification = "auth_invalid"


class QuotaExhaustedError(GenerationError):
    """Raised when the provider's account has no credit or quota left."""

    classification = "quota_exhausted"


class UnrecoverableError(GenerationError):
    """Raised when the provider will refuse this request however often it is sent."""

    classification = "unrecoverable"


class ParseError(GenerationError):
    """Raised when a reply holds neither observations, nor a summary, nor the skip marker."""

    classification = "parse_error"


ERROR_CLASSES: dict[Classification, type[GenerationError]] = {
    "transient": TransientError,
    "rate_limit": RateLimitError,
    "auth_invalid": AuthInvalidError,
    "quota_exhausted": QuotaExhaustedError,
    "unrecoverable": UnrecoverableError,
    "parse_error": ParseError,
}
