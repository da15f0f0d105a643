"""What an answer of the API server means that is none: status codes and reasons, as our errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.kube.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NamespaceTerminating,
    NotFound,
    TooManyRequests,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What the server's missing Retry-After means, in seconds.
_RETRY_AFTER: Final = 1.0
#: How much of the server's words is told: it repeats itself for each field.
_MESSAGE: Final = 600

_BY_STATUS: Final[dict[int, type[KubeError]]] = {
    400: Invalid,
    401: Unavailable,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Unavailable,
    413: Invalid,
    415: Invalid,
    422: Invalid,
}


def refusal(
    status: int, body: str | bytes | None, headers: Mapping[str, str], reason: str | None
) -> KubeError:
    """The error for an answer that is none; the status codes are those of Kubernetes' API conventions.

    Parameters:
        body: a `Status` object as JSON, or whatever a proxy said instead.
        reason: the words of the status line, for want of better ones.
    """
    details = _details(body)
    message = str(details.get("message") or reason or "no reason given")[:_MESSAGE]
    causes = (details.get("details") or {}).get("causes") or []
    wait = _retry_after(headers)
    if status == 403 and any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
        return NamespaceTerminating(message)
    if status == 409 and details.get("reason") == "AlreadyExists":
        return AlreadyExists(message)
    if status == 429 or (status in (500, 503, 504) and wait):
        return TooManyRequests(message, retry_after=wait or _RETRY_AFTER)
    return _BY_STATUS.get(status, Unavailable)(message)


def _details(body: str | bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(body or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return float(headers.get("Retry-After") or 0)
    except ValueError:
        return 0.0
