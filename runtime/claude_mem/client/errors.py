"""Everything the SDK can raise, in one tree.

    ClaudeMemError
    ├── ConfigurationError          the client itself is not set up for the call
    └── ClaudeMemApiError           a call was made and did not succeed
        ├── ValidationFailed        400, 413, 415, 422: the request can never succeed as it is
        ├── AuthenticationError     401: no key, or not one
        ├── QuotaExceeded           402: a monthly cap is used up
        ├── PermissionDenied        403: the key may not do this, or not in this project
        ├── NotFound                404
        ├── Conflict                409: the resource is in a state that forbids it
        ├── RateLimited             429: carries `retry_after`
        ├── UnexpectedReply         an answer that is not this API's
        └── ServerUnavailable       5xx, or no answer at all (`status` is then None)
            └── RequestTimedOut     no answer within the time limit

Which statuses are worth another try is decided in `retry`. Keys never appear in a message.
"""

from __future__ import annotations


class ClaudeMemError(Exception):
    """Base of every error of this client."""


class ConfigurationError(ClaudeMemError):
    """Raised when a call needs something the client was not given, such as a project."""


class ClaudeMemApiError(ClaudeMemError):
    """Raised when a call did not succeed.

    Parameters:
        status: the HTTP status, or None when there was no answer.
        error: the short error name of the reply's body, such as `Forbidden`.
        message: what the server said, or what went wrong on the way.
        request_id: the server's id for the request, to be quoted when asking its operator.
        issues: field errors of a refused body, as the server listed them.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error: str = "",
        request_id: str | None = None,
        issues: list[dict[str, object]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.message = message
        self.request_id = request_id
        self.issues = issues or []

    def __str__(self) -> str:
        label = " ".join(part for part in (str(self.status or ""), self.error) if part)
        text = f"{label}: {self.message}" if label else self.message
        return f"{text} (request {self.request_id})" if self.request_id else text


class ValidationFailed(ClaudeMemApiError):
    """Raised when the server refuses the request's content (400, 413, 415, 422)."""


class AuthenticationError(ClaudeMemApiError):
    """Raised when the server asks for a key (401)."""


class QuotaExceeded(ClaudeMemApiError):
    """Raised when a monthly cap of the team is used up (402)."""


class PermissionDenied(ClaudeMemApiError):
    """Raised when the key is unknown, revoked, expired, or may not do this (403)."""


class NotFound(ClaudeMemApiError):
    """Raised when there is no such resource for this key (404)."""


class Conflict(ClaudeMemApiError):
    """Raised when the resource's state forbids the change (409)."""


class RateLimited(ClaudeMemApiError):
    """Raised when the server asks to slow down (429).

    Parameters:
        retry_after: seconds the server asked to wait, or None when it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # the base's own keywords
        self.retry_after = retry_after


class UnexpectedReply(ClaudeMemApiError):
    """Raised when the answer is not this API's: another program, a proxy's page, an incompatible server."""


class ServerUnavailable(ClaudeMemApiError):
    """Raised when the server fails (5xx) or cannot be reached (`status` is None)."""


class RequestTimedOut(ServerUnavailable):
    """Raised when there is no answer within the time limit; the server may still have acted."""


STATUS_ERRORS: dict[int, type[ClaudeMemApiError]] = {
    400: ValidationFailed,
    401: AuthenticationError,
    402: QuotaExceeded,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    413: ValidationFailed,
    415: ValidationFailed,
    422: ValidationFailed,
}
