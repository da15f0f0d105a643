"""When a failed call is worth another try, and how long to wait before it. No I/O, no clock of its own.

A call that certainly was not carried out (no connection, 429) may always be repeated. One that may have been
carried out (a lost answer, 502, 503, 504) is repeated only when that is harmless. Everything else is the
caller's to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: Statuses of a gateway or a server that is not up; the request may or may not have been carried out.
TRANSIENT_STATUSES = frozenset({502, 503, 504})
TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How often and how patiently calls are repeated.

    Parameters:
        retries: tries after the first.
        base_delay: seconds before the first retry; doubled for each further one.
        longest_wait: seconds; a server that asks for more is not waited for, its error is raised at once.
    """

    retries: int = 2
    base_delay: float = 0.25
    longest_wait: float = 30.0

    def delay(self, tries: int, *, retry_after: float | None = None) -> float | None:
        """Seconds to wait after `tries` tries, or None to give up; `retry_after` is the server's wish."""
        if tries > self.retries:
            return None
        wait: float = self.base_delay * 2 ** (tries - 1) if retry_after is None else retry_after
        return wait if wait <= self.longest_wait else None


def status_is_retryable(status: int, *, repeatable: bool) -> bool:
    """Whether an answer with this status is worth another try."""
    return status == TOO_MANY_REQUESTS or (repeatable and status in TRANSIENT_STATUSES)


def parse_retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds (0 or more) from a `Retry-After` header, which holds seconds or an HTTP date; else None."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())
