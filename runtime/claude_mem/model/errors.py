"""Errors that the domain raises; what status a client sees is the HTTP layer's business.

ClaudeMemError
├── InvalidInput            a request or argument that cannot be accepted; carries the issues found
│   ├── PayloadTooLarge     more than the stated limit
│   └── UnsupportedMediaType
├── Unauthenticated         no credential was presented
├── Forbidden               the credential does not allow this
├── NotFound                nothing of that id within the caller's scope
├── Conflict                the resource's state does not allow this
│   └── RequestUnderWay     the same request is being carried out
├── PreconditionFailed      the resource is not the version that the caller knows
├── IdempotencyMismatch     the Idempotency-Key belongs to another request
├── QuotaExceeded           a monthly cap is used up
├── RateLimited             too many requests in the window
└── Unavailable             a dependency does not answer; nothing was lost, try again
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class ClaudeMemError(Exception):
    """Base of every error that is an answer rather than a bug.

    Attributes:
        label: the `error` word of the wire form.
        message: the sentence shown to the caller.
    """

    label = "Error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class Issue:
    """One reason why a request was not accepted, in the form that zod gives it.

    Parameters:
        code: machine-readable kind, such as `invalid_type`.
        path: keys and indexes from the root to the value at fault.
        message: the reason, for people.
        details: further members of the wire form, such as `expected`.
    """

    code: str
    path: tuple[str | int, ...]
    message: str
    details: dict[str, Any] = field(default_factory=dict)


class InvalidInput(ClaudeMemError):
    """Raised when a request cannot be accepted as it is.

    Parameters:
        message: one sentence, used where there are no issues to list.
        issues: each reason with its place in the request.
    """

    label = "ValidationError"

    def __init__(self, message: str, issues: tuple[Issue, ...] = ()) -> None:
        super().__init__(message)
        self.issues = issues


class PayloadTooLarge(InvalidInput):
    """Raised when a body or a value exceeds its limit."""

    label = "PayloadTooLarge"


class UnsupportedMediaType(InvalidInput):
    """Raised when a non-empty body is not JSON by its content type."""

    label = "UnsupportedMediaType"


class Unauthenticated(ClaudeMemError):
    """Raised when a request carries no credential."""

    label = "Unauthorized"


class Forbidden(ClaudeMemError):
    """Raised when a credential is unknown, ended, or does not allow the request."""

    label = "Forbidden"


class NotFound(ClaudeMemError):
    """Raised when nothing of that id exists within the caller's scope."""

    label = "NotFound"


class Conflict(ClaudeMemError):
    """Raised when the state of a resource rules the request out."""

    label = "Conflict"


class RequestUnderWay(Conflict):
    """Raised when a request with the same Idempotency-Key is being carried out."""


class IdempotencyMismatch(ClaudeMemError):
    """Raised when an Idempotency-Key was used for another request, or for one whose answer was purged."""

    label = "IdempotencyMismatch"


class PreconditionFailed(ClaudeMemError):
    """Raised when a resource was changed since the caller read it."""

    label = "PreconditionFailed"


class QuotaExceeded(ClaudeMemError):
    """Raised when a monthly cap is used up.

    Parameters:
        used: units counted this month.
        cap: units allowed a month.
    """

    label = "quota_exceeded"

    def __init__(self, message: str, *, used: int, cap: int) -> None:
        super().__init__(message)
        self.used = used
        self.cap = cap


class RateLimited(ClaudeMemError):
    """Raised when a window's requests are used up.

    Parameters:
        retry_after_s: whole seconds until the window ends, at least 1.
    """

    label = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ClaudeMemError):
    """Raised when a dependency does not answer in time.

    Parameters:
        dependency: `postgres`, `sqlite` or `valkey`.
    """

    label = "ServiceUnavailable"

    def __init__(self, message: str, *, dependency: str) -> None:
        super().__init__(message)
        self.dependency = dependency
