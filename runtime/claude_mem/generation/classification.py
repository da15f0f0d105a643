"""Which class a provider's failure belongs to, from status, body and headers alone.

Pure functions with no SDK in them. The order of the rules is part of the behaviour: one response can match
several.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claude_mem.generation.errors import Classification

MAX_RETRY_AFTER_MS = 24 * 60 * 60 * 1000
"""A provider that asks for more than a day is taken to mean a day."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The class of a failure.

    Parameters:
        classification: which way on.
        retry_after_ms: wait that the provider asked for, milliseconds; only with `rate_limit` and
            `transient`.
        category: a finer reason where the body gives one away.
    """

    classification: Classification
    retry_after_ms: int | None = None
    category: str | None = None


Classifier = Callable[[int | None, str, Mapping[str, str]], Verdict]

_QUOTA_MARKERS = (
    "quota exceeded",
    "insufficient credits",
    "insufficient_quota",
    "resource_exhausted",
    "key limit exceeded",
    "negative credit",
)
_GEMINI_BAD_REQUESTS = (
    ("api_key", ("api key", "api_key")),
    ("role_sequence", ("role", "function call turn", "multiturn")),
    ("context_limit", ("token count", "context", "too long", "exceeds the maximum")),
    ("model_unsupported", ("not supported", "unsupported", "model")),
)


def retry_after_ms(headers: Mapping[str, str], *, now: datetime | None = None) -> int | None:
    """Wait asked for by `retry-after-ms` or `Retry-After` (seconds or an HTTP date), milliseconds.

    Parameters:
        headers: response headers, names in any case.
        now: aware time to measure a date from; the clock's when absent.
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    milliseconds = _number(lower.get("retry-after-ms"))
    if milliseconds is None:
        value = lower.get("retry-after")
        seconds = _number(value)
        if seconds is None and value:
            seconds = _seconds_until(value, now or datetime.now(UTC))
        milliseconds = None if seconds is None else seconds * 1000
    return None if milliseconds is None else _bounded(milliseconds)


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    return number if number is not None and math.isfinite(number) else None


def _seconds_until(value: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now.timestamp()


def _bounded(milliseconds: float) -> int:
    return max(0, min(MAX_RETRY_AFTER_MS, round(milliseconds)))


def classify_claude(status: int | None, body: str, headers: Mapping[str, str]) -> Verdict:
    """Class of a failed Messages call."""
    text = body.lower()
    wait = retry_after_ms(headers)
    if "overloaded" in text:
        return Verdict("transient", wait)
    if status in (401, 403) or "invalid api key" in text:
        return Verdict("auth_invalid")
    if status == 429:
        return Verdict("rate_limit", wait)
    if "quota exceeded" in text:
        return Verdict("quota_exhausted")
    if "prompt is too long" in text or "context window" in text or "max_tokens" in text:
        return Verdict("unrecoverable", category="context_limit")
    if status is None or status >= 500 or status == 408:
        return Verdict("transient", wait)
    return Verdict("unrecoverable")


def classify_generic(status: int | None, body: str, headers: Mapping[str, str]) -> Verdict:
    """Class of a failed Chat Completions call, and of what Gemini's own rules leave open."""
    text = body.lower()
    wait = retry_after_ms(headers)
    over_limit = "limit exceeded" in text and status != 429
    if status == 402 or over_limit or any(marker in text for marker in _QUOTA_MARKERS):
        return Verdict("quota_exhausted")
    if status == 429:
        return Verdict("rate_limit", wait)
    if status in (401, 403):
        return Verdict("auth_invalid")
    if status in (400, 404):
        return Verdict("unrecoverable")
    if status is None or status >= 500 or status == 408:
        return Verdict("transient", wait)
    return Verdict("unrecoverable")


def classify_gemini(status: int | None, body: str, headers: Mapping[str, str]) -> Verdict:
    """Class of a failed generateContent call.

    Google answers a per-minute limit and a used-up quota alike with 429 RESOURCE_EXHAUSTED. Where its error
    details name a delay, and no daily quota, the call is worth repeating after it; otherwise the generic rule
    holds.
    """
    text = body.lower()
    if status == 429 and "perday" not in text and (delay := _retry_info_ms(body)) is not None:
        return Verdict("rate_limit", delay)
    generic = classify_generic(status, body, headers)
    if status == 400 and generic.classification != "quota_exhausted":
        category = next(
            (name for name, marks in _GEMINI_BAD_REQUESTS if any(mark in text for mark in marks)),
            "unknown_bad_request",
        )
        return Verdict("unrecoverable", category=category)
    return generic


def _retry_info_ms(body: str) -> int | None:
    """The delay in a `google.rpc.RetryInfo` detail, such as `34.5s`, as milliseconds."""
    for detail in _error_details(body):
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s") and (seconds := _number(delay[:-1])) is not None:
            return _bounded(seconds * 1000)
    return None


def _error_details(body: str) -> list[dict[str, Any]]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if isinstance(document, list) and document:
        document = document[0]
    error = document.get("error") if isinstance(document, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    return [detail for detail in details if isinstance(detail, dict)] if isinstance(details, list) else []
